import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ESLint } from 'eslint';
import { licencesPage, packagesByLicence, topicsPage } from '../../docs/generate.ts';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(path.join(root, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];

/** The anchor that a heading gets: https://github.com/gjtorikian/html-pipeline, as GitHub makes it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/ /g, '-');
const anchors = (page: string) => [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));

/** What the lint lets `folder` import from this project; undefined where it has no rule. The last pattern about other folders names them. */
async function importsOf(eslint: ESLint, folder: string): Promise<string[] | undefined> {
  const { rules } = (await eslint.calculateConfigForFile(`${folder}/example.ts`)) as {
    rules: Record<string, [unknown, { patterns: { regex: string }[] }] | undefined>;
  };
  const patterns = rules['@typescript-eslint/no-restricted-imports']?.[1].patterns.map(({ regex }) => regex);
  const places = patterns?.findLast((regex) => regex.startsWith('^\\.\\./'))?.match(/\(\?!\((.*)\)\(\/\|\$\)\)$/)?.[1];
  return places?.replaceAll('\\.', '.').split('|');
}

describe('documentation', () => {
  it('has the page of topics that the code generates', async () => {
    assert.equal(read('docs/topics.md'), await topicsPage(), 'Run `npm run docs`.');
  });

  it('has the page of licences that the lock file generates, and only licences that were checked', async () => {
    assert.equal(read('docs/licences.md'), await licencesPage(), 'Run `npm run docs`.');
    const known =
      /^\(?(MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|BlueOak-1\.0\.0|LGPL-3\.0-or-later|CC0-1\.0| AND | OR )+\)?$/;
    for (const [licence, names] of packagesByLicence()) assert.match(licence, known, names.join(', '));
  });

  it('names every folder that holds code, and what the lint lets it import', async () => {
    const files = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
    const folders = files.flatMap((file) => /^[^./][^/]*(?=\/)/.exec(file) ?? []);
    const rooms = files.flatMap((file) => /^trainer\/[^/]+(?=\/)/.exec(file) ?? []);
    const rows = [...read('docs/architecture.md').matchAll(/^\| `([a-z/-]+)\/` *\|[^|]*\|([^|]*)\|$/gm)];
    const documented = new Map(rows.map(([, folder = '', places = '']) => [folder, places.trim()]));
    assert.deepEqual([...documented.keys()].sort(), [...new Set([...folders, ...rooms])].sort());
    const eslint = new ESLint({ cwd: root });
    for (const [folder, places] of documented) {
      const allowed = await importsOf(eslint, folder);
      if (allowed === undefined) assert.match(places, /^(everything|–)$/, folder);
      else assert.deepEqual(places.split(', ').sort(), allowed.sort(), folder);
    }
  });

  for (const page of pages) {
    it(`${page}: links have targets`, () => {
      for (const [, target = ''] of read(page).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)) {
        const [file = '', anchor] = target.split('#');
        const at = file === '' ? page : path.join(path.dirname(page), file);
        assert.ok(existsSync(path.join(root, at)), `${target}: there is no ${at}`);
        if (anchor !== undefined && at.endsWith('.md'))
          assert.ok(anchors(at).includes(anchor), `${target}: there is no heading #${anchor}`);
      }
    });

    it(`${page}: scripts, commands and settings exist`, () => {
      const text = read(page);
      const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
      for (const [, script = ''] of text.matchAll(/npm run (?:-s )?([a-z][a-z:-]*)/g))
        assert.ok(script in scripts, `npm run ${script}`);
      const commands = readdirSync(path.join(root, 'cli')).flatMap((file) =>
        [...read(`cli/${file}`).matchAll(/(?:Command|command)\('([a-z-]+)/g)].map(([, name]) => name),
      );
      for (const [, command = ''] of text.matchAll(/npx samvad ([a-z][a-z-]*)/g))
        assert.ok(commands.includes(command), `samvad ${command}`);
      const settings = new Set(
        ['config.ts', ...readdirSync(path.join(root, 'bench')).map((file) => `bench/${file}`)]
          .filter((file) => file.endsWith('.ts'))
          .flatMap((file) => read(file).match(/\b[A-Z]+(?:_[A-Z]+)+\b/g) ?? []),
      );
      for (const [setting] of text.matchAll(/\b(?:SAMVAD|KAFKA_SASL|KAFKA_TLS|LABEL_STUDIO)_[A-Z_]*[A-Z]\b/g))
        assert.ok(settings.has(setting) || read('docker-compose.yml').includes(setting), setting);
    });
  }
});
