import assert from 'node:assert/strict';
import { constants } from 'node:buffer';
import disk, { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { parse } from 'yaml';
import { labelsOf } from '../../label-studio/labelling-config.ts';
import { unownedName } from '../../runtime/folder-owner.ts';
import type { SampleApproved, SampleEvent } from '../../schemas/types.ts';
import { canonicalLine, rowOf } from '../../trainer/data-set/data-row.ts';
import type { DataRow } from '../../trainer/data-set/data-row.ts';
import { buildDataSet, checkReach, requestOf } from '../../trainer/data-set/data-set.ts';
import type { DataSet, DataSetRequest, Manifest } from '../../trainer/data-set/data-set.ts';
import { openDataSetFolder } from '../../trainer/data-set/data-set-folder.ts';
import { checkPlace, writeExport } from '../../trainer/data-set/export.ts';
import { filesOf } from '../../trainer/data-set/formats.ts';
import type { PlacedSample } from '../../trainer/data-set/sample-table.ts';
import { TrainingError } from '../../trainer/learning/train.ts';
import { sample } from '../fixtures.ts';

const approve = (fields: Partial<SampleApproved> = {}): SampleEvent => {
  const approved = sample(fields);
  return { conversation_id: approved.conversation_id, approved, withdrawn: null, erased_at: null };
};
const withdraw = (conversation_id: string): SampleEvent => ({
  conversation_id,
  approved: null,
  withdrawn: { conversation_id, intent: '', module: '', language: '', reason: 'rejected', withdrawn_at: 0 },
  erased_at: null,
});

const erase = (conversation_id: string): SampleEvent => ({
  ...{ conversation_id, approved: null, withdrawn: null },
  erased_at: Date.UTC(2026, 10, 3),
});

/** The events as partitions of a log, null where compaction removed one; read in the order of `partitions`. */
async function* log(
  events: readonly (readonly (SampleEvent | null)[])[],
  partitions: readonly number[],
): AsyncGenerator<PlacedSample> {
  for (const partition of partitions)
    for (const [offset, event] of (events[partition] ?? []).entries()) {
      await Promise.resolve();
      if (event) yield { partition, offset, schemaId: 7, event };
    }
}
const upTo = new Map([
  [0, 10],
  [1, 10],
]);
async function build(
  events: readonly (readonly (SampleEvent | null)[])[],
  request: Partial<DataSetRequest> = {},
  partitions = [0, 1],
) {
  const place = { folder: path.join(os.tmpdir(), 'samvad-test-data-sets') };
  const dataSet = await buildDataSet({ dataSet: 'default', upTo, ...request }, log(events, partitions), '1.0.0', place);
  const lines = [...dataSet.rows()].map(({ row }) => canonicalLine(row));
  await dataSet.close();
  return {
    manifest: dataSet.manifest,
    erasedSince: dataSet.erasedSince,
    byRolledBack: dataSet.byRolledBack,
    ids: lines.map((line) => (JSON.parse(line) as DataRow).conversation_id),
    bytes: lines.join(''),
  };
}

describe('data set', () => {
  const events = [
    [
      approve({ conversation_id: 'b' }),
      approve({ conversation_id: 'd', language: 'hi', confidence: null }),
      withdraw('b'),
      approve({ conversation_id: 'b', intent: 'fare', module: 'ride' }),
    ],
    [approve({ conversation_id: 'c', confidence: 0.9 }), approve({ conversation_id: 'a' }), withdraw('a')],
  ];

  it('holds the samples that stand, sorted, with the same bytes in whatever order the partitions are read', async () => {
    const one = await build(events);
    assert.deepEqual(one.ids, ['b', 'c', 'd']);
    assert.deepEqual(one.manifest.by_intent, { 'food/track_order': 2, 'ride/fare': 1 });
    const other = await build(events, requestOf(one.manifest), [1, 0]);
    assert.equal(other.bytes, one.bytes);
    assert.deepEqual(other.manifest, one.manifest);
  });

  const filters: readonly (readonly [string, Partial<DataSetRequest>, readonly string[]])[] = [
    ['language', { filters: { language: 'hi' } }, ['d']],
    ['module', { filters: { module: 'ride' } }, ['b']],
    ['least confidence', { filters: { minConfidence: 0.9 } }, ['c']],
    ['most confidence', { filters: { maxConfidence: 0.8 } }, ['b']],
    ['from', { filters: { from: '2026-11-01T00:00:00Z' } }, ['b', 'c', 'd']],
    ['to', { filters: { to: '2026-11-01T00:00:00Z' } }, []],
    ['limit', { limit: 2 }, ['b', 'c']],
    [
      'unused: relabelled counts, before the mark does not',
      {
        unusedSince: new Map([
          [0, 3],
          [1, 3],
        ]),
      },
      ['b'],
    ],
  ];
  for (const [name, request, ids] of filters)
    it(`filters by ${name}, and its manifest repeats the request`, async () => {
      const made = await build(events, request);
      assert.deepEqual(made.ids, ids);
      assert.deepEqual((await build(events, requestOf(made.manifest), [1, 0])).manifest, made.manifest);
    });

  it('returns with each row the probability that a person was asked, without changing its bytes', async () => {
    const asked = [[approve({ review_propensity: 0.05 }), approve({ conversation_id: 'c-2' })], []];
    const dataSet = await buildDataSet({ dataSet: 'default', upTo }, log(asked, [0]), '1.0.0', {
      folder: path.join(os.tmpdir(), 'samvad-test-data-sets'),
    });
    assert.deepEqual(
      [...dataSet.rows()].map(({ reviewPropensity }) => reviewPropensity),
      [0.05, null],
    );
    await dataSet.close();
    assert.deepEqual(await build(asked), await build([[approve(), approve({ conversation_id: 'c-2' })], []]));
  });

  describe('after a version was rolled back', () => {
    const taken = { source: 'auto', reviewer: null, model_version: 'router-v1.3.0' } as const;
    const labelled = [
      [
        approve({ ...taken, conversation_id: 'a' }),
        approve({ ...taken, conversation_id: 'b', model_version: 'router-v1.2.0' }),
        approve({ ...taken, conversation_id: 'c', model_version: null }),
        approve({ conversation_id: 'd', model_version: 'router-v1.3.0' }),
      ],
      [
        approve({ ...taken, conversation_id: 'e' }),
        withdraw('e'),
        approve({ ...taken, conversation_id: 'f' }),
        erase('f'),
      ],
    ];
    const read = {
      upTo: new Map([
        [0, 4],
        [1, 3],
      ]),
    };

    it('leaves out what that version labelled, counts it, and can be built again from its manifest', async () => {
      const made = await build(labelled, { ...read, rolledBack: ['router-v1.3.0'] });
      assert.deepEqual(made.ids, ['b', 'c', 'd']);
      assert.equal(made.byRolledBack, 1, 'withdrawn and erased ones are not counted');
      const again = await build(labelled, requestOf(made.manifest), [1, 0]);
      assert.deepEqual(again, made);
    });

    it('builds earlier data sets as they were, with all rows and the same manifest', async () => {
      const before = await build(labelled, read);
      assert.deepEqual(before.ids, ['a', 'b', 'c', 'd']);
      assert.deepEqual(before.manifest.rolled_back, []);
      assert.deepEqual(await build(labelled, { ...read, rolledBack: [] }), before);
    });
  });

  it('leaves out what was erased after its offsets, also where the sample was withdrawn earlier or compaction has removed it', async () => {
    const before = {
      upTo: new Map([
        [0, 4],
        [1, 3],
      ]),
    };
    const whole = await build(events, before);
    assert.deepEqual([whole.ids, whole.erasedSince], [['b', 'c', 'd'], 0]);
    const [first = [], second = []] = events;
    const later = [
      [...first, withdraw('b'), erase('b'), erase('never-sampled')],
      [...second, approve({ conversation_id: 'e' }), erase('e')],
    ];
    const left = await build(
      later.map((all) => all.filter((event, i) => i < 4 || event.erased_at !== null)),
      before,
    );
    assert.deepEqual([left.ids, left.erasedSince], [['c', 'd'], 3]);
    assert.equal(left.manifest.rows, 2);
    const gone = ['b', 'e'];
    const compacted = later.map((all) =>
      all.map((event) => (event.erased_at === null && gone.includes(event.conversation_id) ? null : event)),
    );
    assert.deepEqual(await build(compacted, before), left);
    const limited = await build(later, { ...before, limit: 1 });
    assert.deepEqual([limited.ids, limited.erasedSince], [[], 3]);
  });
});

describe('the folder of a data set', () => {
  let home: string;
  before(async () => {
    home = await mkdtemp(path.join(os.tmpdir(), 'samvad-data-sets-'));
  });
  after(() => rm(home, { recursive: true, force: true }));

  const one = () => log([[approve()]], [0]);
  const request = { dataSet: 'default', upTo };

  it('is deleted with it; the next data set deletes one that was left behind, but not that of a running process', async () => {
    const folder = path.join(home, 'shared');
    const mine = await buildDataSet(request, one(), '1.0.0', { folder });
    const code = `const { openDataSetFolder } = await import('${new URL('../../trainer/data-set/data-set-folder.ts', import.meta.url).href}');
      await openDataSetFolder(${JSON.stringify(folder)}); process.stdout.write('open'); setInterval(() => undefined, 1000);`;
    const neighbour = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(neighbour.stdout, 'data');
      assert.equal((await readdir(folder)).length, 2);
      await (await buildDataSet(request, one(), '1.0.0', { folder })).close();
      assert.equal((await readdir(folder)).length, 2, 'mine and the neighbour’s');
      assert.deepEqual([...mine.rows()].length, 1);
    } finally {
      neighbour.kill('SIGKILL');
    }
    await once(neighbour, 'exit');
    await (await buildDataSet(request, one(), '1.0.0', { folder })).close();
    assert.equal((await readdir(folder)).length, 1, 'mine');
    await mine.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('is deleted when its disk is full, with an error that says so', async () => {
    const folder = path.join(home, 'full');
    const script = fileURLToPath(new URL('./full-disk.ts', import.meta.url));
    // A limit on the size of files, in units of 512 or 1024 bytes, gives the same failure of a write as a full disk.
    const shell = `trap '' XFSZ; ulimit -f 8000; exec "$0" --import tsx "$1" "$2"`;
    const { stdout } = await promisify(execFile)('sh', ['-c', shell, process.execPath, script, folder]);
    assert.match(stdout, /^TrainingError: .*can't be kept in .*full.*Make room there/);
    assert.deepEqual(await readdir(folder), []);
  });

  it("can be created beside one that was left behind and can't be removed", async (t) => {
    const folder = path.join(home, 'refused');
    await mkdir(path.join(folder, 'free~of-another-user'), { recursive: true });
    const refused = t.mock.method(disk, 'rm', () => Promise.reject(new Error('EACCES: permission denied')));
    syncBuiltinESMExports();
    const made = openDataSetFolder(folder).finally(() => {
      refused.mock.restore();
      syncBuiltinESMExports();
    });
    await (await made).remove();
    assert.deepEqual(await readdir(folder), ['free~of-another-user']);
  });

  it("is named in the error when it can't be created", async () => {
    const file = path.join(home, 'file');
    await writeFile(file, '');
    const made = buildDataSet(request, one(), '1.0.0', { folder: file });
    await assert.rejects(made, (error) => error instanceof TrainingError && error.message.includes(file));
  });

  it('is deleted when the build is aborted, also between two rows', async () => {
    const folder = path.join(home, 'aborted');
    const stop = new AbortController();
    async function* many(): AsyncGenerator<PlacedSample> {
      for (let offset = 0; offset < 20_000; offset++) {
        if (offset === 19_999) setImmediate(() => stop.abort(new Error('enough')));
        const event = approve({ conversation_id: String(offset) });
        yield await Promise.resolve({ partition: 0, offset, schemaId: 7, event });
      }
    }
    const all = { dataSet: 'default', upTo: new Map([[0, Infinity]]) };
    await assert.rejects(buildDataSet(all, many(), '1.0.0', { folder, signal: stop.signal }), /enough/);
    assert.deepEqual(await readdir(folder), []);
  });
});

describe('row', () => {
  it('has composed strings and adjusted spans of entities', () => {
    const text = 'cafe\u0301 41 \u{1F600}';
    const row = rowOf(
      sample({
        text,
        entities: [
          { name: 'n', value: '41', start: 6, end: 8 },
          { name: 'x', value: 'e', start: 3, end: 4 },
        ],
      }),
    );
    assert.equal(row.text, 'caf\u00e9 41 \u{1F600}');
    assert.deepEqual(row.entities[0], { name: 'n', value: '41', start: 5, end: 7 });
    // A span that ends within a composed character is dropped.
    assert.deepEqual(row.entities[1], { name: 'x', value: 'e', start: null, end: null });
  });
});

/** Texts that break formats, with an entity on the word "order". */
const nasty = [
  '[a](b) order',
  '- order',
  '# order',
  'two\nlines order',
  'back\\slash order',
  '\u{1F600}\u{1F468}\u200d\u{1F469} order',
  ' order ',
  '"order": {x}',
  'order: |',
  "it's order\u2028here",
  'मेरा order',
  'order\r\n',
  '{{order}}',
  '[order]{"entity": "x"}',
  'null',
  '12',
  '\ufefforder',
  'order\tnow',
  '---',
  '%order',
].map((text, i) => {
  const start = text.indexOf('order');
  const entities = start < 0 ? [] : [{ name: 'thing', value: 'order', start, end: start + 5 }];
  return rowOf(sample({ conversation_id: `c-${i}`, text, entities }));
});

/** Labels that a format must not mix up, and entities that overlap or have a value that differs from their words. */
const labelled = [
  { text: 'come tomorrow at 5pm', intent: 'a/b', module: 'm', entities: [entity('date', '2026-11-28', 5, 13)] },
  { text: 'come at noon', intent: 'b', module: 'm/a', entities: [entity('time', '12:00 "sharp"', 8, 12)] },
  { text: 'come at five', intent: 'c', module: 'a.b', entities: [entity('time', '{17}', 8, 12)] },
  { text: 'come at six', intent: 'b.c', module: 'a', entities: [entity('time', '', 8, 11)] },
  { text: 'come at ten', intent: '%2E "quoted" \\ u', module: 'a%2F', entities: [] },
  {
    text: 'to new delhi station',
    intent: 'ride',
    module: 'm',
    entities: [
      entity('city', 'delhi', 7, 12),
      entity('station', 'NDLS', 3, 20),
      entity('city', 'नई दिल्ली', 3, 12),
      entity('word', 'to', 0, 2),
    ],
  },
].map((fields, i) => rowOf(sample({ conversation_id: `l-${i}`, ...fields })));
function entity(name: string, value: string, start: number, end: number) {
  return { name, value, start, end };
}

/** What must come back: the text, and the words under each entity. */
const expected = nasty.map(({ text, entities }) => [text, entities.map(() => 'order')] as const).sort();
const python = (text: string, start: number, end: number) => Array.from(text).slice(start, end).join('');

async function files(format: 'rasa' | 'spacy' | 'label-studio' | 'hugging-face', rows = nasty) {
  const events = rows.map(({ conversation_id, text, entities }) => approve({ conversation_id, text, entities }));
  const { manifest } = await build([events], { upTo: new Map([[0, 99]]) });
  const written = filesOf(format, () => rows, manifest);
  return new Map([...written].map(([name, pieces]) => [name, [...pieces].join('')]));
}

interface RasaExample {
  readonly text: string;
  readonly intent: string;
  readonly entities: readonly { entity: string; value: string; start: number; end: number }[];
}

/** As Rasa reads it (rasa/shared/nlu/training_data: formats/rasa_yaml.py, entities_parser.py): one line per example, stripped, then its markup. */
function readRasa(written: ReadonlyMap<string, string>): { plain: RasaExample[]; literal: RasaExample[] } {
  const { nlu } = parse(written.get('nlu.yml') ?? '') as { nlu: { intent: string; examples: string }[] | null };
  const markup = /\[([^\]]+?)\](?:\(([^:)]+?)(?::([^)]+))?\)|\{([^}]+?)\})/g;
  const plain = (nlu ?? []).flatMap(({ intent, examples }) =>
    examples
      .split(/[\n\r\v\f\x85\u2028\u2029]/)
      .filter((line) => line.startsWith('-'))
      .map((line) => {
        const example = line.slice(1).replace(/^[\n\r ]+|[\n\r ]+$/g, '');
        let moved = 0;
        const entities = [...example.matchAll(markup)].map(
          ({ 0: all, 1: words = '', 2: name, 3: value, 4: json, index }) => {
            const start = codePointsOf(example.slice(0, index)) - moved;
            moved += codePointsOf(all) - codePointsOf(words);
            const told =
              json === undefined
                ? { entity: name ?? '', value }
                : (JSON.parse(`{${json}}`) as { entity: string; value?: string });
            return { entity: told.entity, value: told.value ?? words, start, end: start + codePointsOf(words) };
          },
        );
        return { text: example.replace(markup, '$1'), intent, entities };
      }),
  );
  const json = JSON.parse(written.get('nlu-literal.json') ?? '{"rasa_nlu_data":{"common_examples":[]}}') as {
    rasa_nlu_data: { common_examples: RasaExample[] };
  };
  return { plain, literal: json.rasa_nlu_data.common_examples };
}
const codePointsOf = (text: string) => Array.from(text).length;

describe('formats preserve texts and spans that could break them', () => {
  it('rasa', async () => {
    const { plain, literal } = readRasa(await files('rasa'));
    assert.deepEqual([...new Set([...plain, ...literal].map(({ intent }) => intent))], ['food.track_order']);
    const back = [...plain, ...literal].map(({ text, entities }) => [
      text,
      entities.map(({ start, end }) => python(text, start, end)),
    ]);
    assert.deepEqual(back.sort(), expected);
    assert.ok(plain.length > 3, `${plain.length} in YAML`);
  });
  it('rasa, with difficult labels and with values of entities', async () => {
    const { plain, literal } = readRasa(await files('rasa', labelled));
    const all = [...plain, ...literal];
    const labelOf = ({ intent }: RasaExample) => {
      assert.doesNotMatch(intent, /[/"\\]/, 'Rasa reads / itself');
      return intent.split('.').map(decodeURIComponent);
    };
    const inOrder = (a: { text: string }, b: { text: string }) => (a.text < b.text ? -1 : 1);
    assert.deepEqual(
      all.sort(inOrder).map((one) => [one.text, labelOf(one), one.entities]),
      labelled
        .toSorted(inOrder)
        .map(({ text, module, intent, entities }) => [
          text,
          [module, intent],
          entities.map(({ name, value, start, end }) => ({ entity: name, value, start: start ?? 0, end: end ?? 0 })),
        ]),
    );
    assert.deepEqual(
      plain.map(({ text }) => text).sort(),
      ['come at ten', 'come tomorrow at 5pm'],
      'the markup cannot express the others',
    );
  });
  it('rasa, for any words and names', () => {
    const text = fc.string({ unit: fc.constantFrom(...Array.from('ab/.%"\\[](){}:-# \n\u2028\u0085é\u{1F600}')) });
    const row = fc.record({ text, module: text, intent: text, value: text, at: fc.nat(9), long: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 8 }), (all) => {
        const rows = all.map(({ text: words, module, intent, value, at, long }, i) => {
          const units = Array.from(words);
          const place = (n: number) => units.slice(0, n).join('').length;
          const [start, end] = [place(at), place(at + long)];
          const entities = end > start ? [entity('e', value, start, end)] : [];
          return rowOf(sample({ conversation_id: `p-${i}`, text: words, module, intent, entities }));
        });
        const written = filesOf('rasa', () => rows, {} as Manifest);
        const { plain, literal } = readRasa(
          new Map([...written].map(([name, pieces]) => [name, [...pieces].join('')])),
        );
        const back = [...plain, ...literal].map(({ text: words, intent, entities }) =>
          JSON.stringify([
            words,
            intent.split('.').map(decodeURIComponent),
            entities.map(({ value, start, end }) => [value, python(words, start, end)]),
          ]),
        );
        const there = rows.map(({ text: words, module, intent, entities }) =>
          JSON.stringify([
            words,
            [module, intent],
            entities.map(({ value, start, end }) => [value, words.slice(start ?? 0, end ?? 0)]),
          ]),
        );
        assert.deepEqual(back.sort(), there.sort());
      }),
    );
  });
  it('spacy', async () => {
    const lines = ((await files('spacy')).get('train.jsonl') ?? '').trim().split('\n');
    const docs = lines.map(
      (line) => JSON.parse(line) as { text: string; cats: object; entities: [number, number, string][] },
    );
    assert.deepEqual(
      docs.map(({ text, entities }) => [text, entities.map(([start, end]) => python(text, start, end))]).sort(),
      expected,
    );
  });
  it('spacy, whose entities must not overlap', async () => {
    const lines = ((await files('spacy', labelled)).get('train.jsonl') ?? '').trim().split('\n');
    const docs = lines.map((line) => JSON.parse(line) as { entities: unknown; spans?: unknown });
    assert.deepEqual(docs.at(-1)?.entities, [
      [3, 20, 'station'],
      [0, 2, 'word'],
    ]);
    assert.deepEqual(docs.at(-1)?.spans, {
      sc: [
        [7, 12, 'city'],
        [3, 20, 'station'],
        [3, 12, 'city'],
        [0, 2, 'word'],
      ],
    });
    assert.ok(!docs[0] || !('spans' in docs[0]), 'spans are written only where entities overlap');
  });
  it('label-studio', async () => {
    const tasks = JSON.parse((await files('label-studio')).get('tasks.json') ?? '') as {
      data: { text: string };
      annotations: { result: { type: string; value: { start: number; end: number } }[] }[];
    }[];
    const back = tasks.map(({ data: { text }, annotations }) => [
      text,
      (annotations[0]?.result ?? [])
        .filter(({ type }) => type === 'labels')
        .map(({ value }) => text.slice(value.start, value.end)),
    ]);
    assert.deepEqual(back.sort(), expected);
  });
  it('label-studio, for the controls of the project that Samvad creates', async () => {
    const written = await files('label-studio', labelled);
    const tasks = JSON.parse(written.get('tasks.json') ?? '') as { annotations: { result: object[] }[] }[];
    const label = (taxonomy: string[][]) => ({
      ...{ from_name: 'label', to_name: 'message', type: 'taxonomy' },
      value: { taxonomy },
    });
    const span = { from_name: 'entities', to_name: 'message', type: 'labels' };
    assert.deepEqual(tasks[0]?.annotations, [
      {
        result: [label([['m', 'a/b']]), { ...span, value: { start: 5, end: 13, text: 'tomorrow', labels: ['date'] } }],
      },
    ]);
    const xml = written.get('label-config.xml') ?? '';
    const inIt = labelsOf(xml);
    for (const { module, intent } of labelled) assert.ok(inIt.get(module)?.has(intent), `${module}: ${intent}`);
    assert.match(xml, /<Text name="message" value="\$text" \/>[\s\S]*<Choices name="use" toName="message"/);
    const names = [
      ...(/<Labels name="entities" toName="message">([\s\S]*)<\/Labels>/.exec(xml)?.[1] ?? '').matchAll(
        /value="([^"]*)"/g,
      ),
    ];
    assert.deepEqual(
      names.map(([, name]) => name),
      ['city', 'date', 'station', 'time', 'word'],
    );
    assert.doesNotMatch(xml, /predicted/, 'an export has no prediction');
    const none = await files('label-studio', labelled.slice(4, 5));
    assert.doesNotMatch(none.get('label-config.xml') ?? '', /Labels/);
    assert.deepEqual(JSON.parse((await files('label-studio', [])).get('tasks.json') ?? ''), []);
  });
  it('hugging-face, on the side of its split', async () => {
    const written = await files('hugging-face');
    const rows = ['train', 'validation', 'test'].flatMap((side) =>
      (written.get(`data/${side}.jsonl`) ?? '')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as DataRow),
    );
    const kept = expected.filter(([text]) => text !== '---');
    assert.deepEqual(
      rows
        .map(({ text, entities }) => [text, entities.map(({ start, end }) => python(text, start ?? 0, end ?? 0))])
        .sort(),
      kept,
    );
    assert.match(written.get('README.md') ?? '', /split: validation/);
  });
});

describe('an export', () => {
  let home: string;
  before(async () => {
    home = await mkdtemp(path.join(os.tmpdir(), 'samvad-exports-'));
  });
  after(() => rm(home, { recursive: true, force: true }));

  async function dataSetOf(rows: readonly DataRow[]): Promise<DataSet> {
    const { manifest } = await build([[]]);
    return {
      manifest,
      erasedSince: 0,
      byRolledBack: 0,
      *rows() {
        for (const row of rows) yield { row, reviewPropensity: null, partition: 0, offset: 0 };
      },
      close: () => Promise.resolve(),
    };
  }
  const textsIn = async (folder: string) => {
    const names = await readdir(folder, { recursive: true, withFileTypes: true });
    const found = names
      .filter((one) => one.isFile())
      .map((one) => readFile(path.join(one.parentPath, one.name), 'utf8'));
    return (await Promise.all(found)).sort().join('');
  };

  it('leaves nothing of an earlier export in its folder, whatever its format, and nothing beside it', async () => {
    const folder = path.join(home, 'replaced');
    const [erased, kept] = [[rowOf(sample({ text: '[erased] words' }))], [rowOf(sample({ text: 'kept words' }))]];
    for (const format of ['rasa', 'hugging-face', 'spacy', 'label-studio', 'rasa'] as const) {
      await writeExport(await dataSetOf(erased), format, folder);
      assert.match(await textsIn(folder), /erased/);
      await writeExport(await dataSetOf(kept), format, folder);
      assert.doesNotMatch(await textsIn(folder), /erased/, format);
      await writeExport(await dataSetOf(erased), 'rasa', folder);
    }
    assert.deepEqual(await readdir(path.dirname(folder)), ['replaced']);
  });

  it('clears what an interrupted export has left', async () => {
    const folder = path.join(home, 'cut', 'off');
    const left = path.join(home, 'cut', 'off.samvad-draft', unownedName(), 'before-0');
    await mkdir(left, { recursive: true });
    await writeFile(path.join(left, 'train.jsonl'), 'erased');
    await writeExport(await dataSetOf(nasty), 'spacy', folder);
    assert.deepEqual(await readdir(path.dirname(folder)), ['off']);
  });

  for (const format of ['jsonl', 'hugging-face'] as const)
    it(`as ${format} by many processes at once to one place is that of one of them, and complete`, async () => {
      const folder = path.join(home, `many-${format}`, 'data');
      const written = (at: string) => (format === 'jsonl' ? readFile(at, 'utf8') : textsIn(at));
      const dataSets = await Promise.all(
        ['one', 'two', 'three', 'four', 'five'].map((text) =>
          dataSetOf([1, 2, 3].map((i) => rowOf(sample({ conversation_id: `c-${i}`, text: `${text} ${i}` })))),
        ),
      );
      const each: string[] = [];
      for (const dataSet of dataSets) {
        await writeExport(dataSet, format, folder);
        each.push(await written(folder));
      }
      const names = (await readdir(path.dirname(folder), { recursive: true })).sort();
      await Promise.all(dataSets.map((dataSet) => writeExport(dataSet, format, folder)));
      assert.equal(new Set(each).size, 5);
      assert.ok(each.includes(await written(folder)));
      assert.deepEqual(
        (await readdir(path.dirname(folder), { recursive: true })).sort(),
        names,
        'nothing is beside it',
      );
    });

  it('refuses early to replace the current folder or a mount point', async () => {
    const current = { name: 'ExportRefused', message: /the current folder, and an export replaces the whole folder/ };
    for (const place of ['.', process.cwd(), path.dirname(process.cwd()), '/'])
      await assert.rejects(checkPlace('rasa', place), current);
    await checkPlace('rasa', path.join(home, '..more'));
    if (process.platform === 'linux')
      await assert.rejects(checkPlace('rasa', '/proc'), { name: 'ExportRefused', message: /\/proc is a mount point/ });
  });

  it('refuses early to replace a device', async () => {
    await assert.rejects(checkPlace('jsonl', '/dev/null'), { name: 'ExportRefused', message: /null is a device/ });
  });

  it('replaces no folder that holds anything else, and no file by a folder', async () => {
    const folder = path.join(home, 'mine');
    await writeExport(await dataSetOf(nasty), 'spacy', folder);
    await writeFile(path.join(folder, 'notes.txt'), 'mine');
    await assert.rejects(
      writeExport(await dataSetOf(nasty), 'spacy', folder),
      /mine holds notes.txt, which no export wrote/,
    );
    const file = path.join(home, 'file.jsonl');
    await writeExport(await dataSetOf(nasty), 'jsonl', file);
    await assert.rejects(writeExport(await dataSetOf(nasty), 'rasa', file), /file.jsonl is a file; name a folder/);
    await assert.rejects(writeExport(await dataSetOf(nasty), 'jsonl', folder), /mine is a folder; name a file/);
    assert.equal(await readFile(path.join(folder, 'notes.txt'), 'utf8'), 'mine');
  });

  for (const format of ['jsonl', 'hugging-face', 'rasa'] as const)
    it(`as ${format} that is interrupted leaves what was there, and no draft`, async () => {
      const at = path.join(home, `stopped-${format}`, 'data');
      await writeExport(await dataSetOf(nasty), format, at);
      const before = await textsIn(path.dirname(at));
      const stop = new AbortController();
      const whole = await dataSetOf(nasty);
      const stopped: DataSet = {
        ...whole,
        *rows() {
          yield* whole.rows();
          stop.abort(new Error('interrupted'));
          yield* whole.rows();
        },
      };
      await assert.rejects(writeExport(stopped, format, at, stop.signal), /interrupted|aborted/);
      assert.equal(await textsIn(path.dirname(at)), before);
    });

  it('to Label Studio may be longer than a string can be', () => {
    const row = rowOf(sample({ text: 'x'.repeat(100_000) }));
    function* rows() {
      for (let i = 0; i < 5500; i++) yield row;
    }
    let [length, longest] = [0, 0];
    for (const piece of filesOf('label-studio', rows, {} as Manifest).get('tasks.json') ?? []) {
      length += piece.length;
      longest = Math.max(longest, piece.length);
    }
    assert.ok(length > constants.MAX_STRING_LENGTH, `${length}`);
    assert.ok(longest < 200_000);
  });
});

describe('offsets of a data set', () => {
  it('are refused at once where the log ends before them', () => {
    const ends = new Map([
      [0, 500],
      [1, 7],
    ]);
    checkReach(new Map([[0, 500]]), ends);
    checkReach(new Map([[2, 0]]), ends);
    assert.throws(() => checkReach(new Map([[0, 501]]), ends), {
      name: 'TrainingError',
      message: /to offset 501 of partition 0, and the log ends at 500/,
    });
    assert.throws(() => checkReach(new Map([[2, 1]]), ends), /the log ends at 0/);
  });
});
