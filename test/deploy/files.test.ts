import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Registry } from 'prom-client';
import { parse, parseAllDocuments } from 'yaml';
import { componentNames } from '../../app/components.ts';
import { processMetrics } from '../../http/process-metrics.ts';
import { services } from '../../pipeline.ts';
import { everything, measuredOnce, oneComponent } from '../http/metrics.ts';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');

interface ComposeService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly user?: string;
  readonly volumes?: readonly string[];
}
const compose = parse(read('docker-compose.yml'), { merge: true }) as {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const own = Object.entries(compose.services).filter(([, { image }]) => image.startsWith('samvad:'));

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly replicas?: number;
    readonly template?: {
      readonly spec: {
        readonly containers: readonly {
          readonly args?: readonly string[];
          readonly env?: readonly { readonly name: string }[];
        }[];
      };
    };
  };
}
const manifests = readdirSync(path.join(root, 'deploy/kubernetes'))
  .filter((file) => file.endsWith('.yaml'))
  .flatMap((file) => parseAllDocuments(read(`deploy/kubernetes/${file}`)).map((doc) => doc.toJS() as Manifest));

/** The settings that config.ts reads, by name. */
const settings = new Set([...read('config.ts').matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)].map(([name]) => name));

/** Commands of the processes: each must be `run` with known components, and together they run every one once. */
function assertComplete(commands: readonly (readonly string[])[]): void {
  for (const [verb] of commands) assert.equal(verb, 'run');
  const started = commands.flatMap(([, ...components]) => components).sort();
  const where = 'Each component of pipeline.ts has its place in docker-compose.yml and in deploy/kubernetes/.';
  assert.deepEqual(started, [...componentNames, 'http'].sort(), where);
}

describe('docker-compose.yml', () => {
  it('runs every component once', () => assertComplete(own.map(([, { command = [] }]) => command)));

  it('sets only what config.ts reads', () => {
    for (const [name, { environment = {} }] of own)
      for (const variable of Object.keys(environment)) assert.ok(settings.has(variable), `${name}: ${variable}`);
  });

  it('declares its volumes, asks for no variable that .env.example lacks, and publishes on loopback only', () => {
    const text = read('docker-compose.yml');
    const example = new Set([...read('.env.example').matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name));
    for (const [, name] of text.matchAll(/\$\{([A-Z_]+)/g))
      assert.ok(example.has(name) || name === 'SAMVAD_VERSION', name);
    for (const { volumes = [] } of Object.values(compose.services))
      for (const volume of volumes)
        if (/^[a-z-]+:/.test(volume)) assert.ok((volume.split(':', 1)[0] ?? '') in compose.volumes, volume);
    for (const [, port] of text.matchAll(/ports: \['(.*?)'\]/g))
      assert.match(port ?? '', /^(127\.0\.0\.1:|\$\{SAMVAD_PUBLISH:-127\.0\.0\.1:)/);
  });

  it('is scraped completely by Prometheus', () => {
    const { scrape_configs } = parse(read('deploy/prometheus/prometheus.yml')) as {
      scrape_configs: { dns_sd_configs: { names: string[]; port: number }[] }[];
    };
    const [discovery] = scrape_configs[0]?.dns_sd_configs ?? [];
    assert.deepEqual(discovery?.names.toSorted(), own.map(([name]) => name).sort());
    assert.match(read('Dockerfile'), new RegExp(`SAMVAD_HEALTH_PORT=${String(discovery.port)}\\b`));
  });
});

describe('deploy/kubernetes', () => {
  const workloads = manifests.filter(({ spec }) => spec?.template);

  it('runs every component once', () =>
    assertComplete(
      workloads.flatMap(({ spec }) => (spec?.template?.spec.containers ?? []).map(({ args = [] }) => args)),
    ));

  it('sets only what config.ts reads', () => {
    const named = workloads.flatMap(({ spec }) =>
      (spec?.template?.spec.containers ?? []).flatMap(({ env = [] }) => env.map(({ name }) => name)),
    );
    const shared = manifests.filter(({ kind }) => kind === 'ConfigMap').flatMap(({ data = {} }) => Object.keys(data));
    for (const variable of [...named, ...shared]) assert.ok(settings.has(variable), variable);
    assert.ok(shared.length > 0);
  });
});

describe('Dockerfile', () => {
  it('copies all that the program needs', () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'samvad-image-'));
    try {
      const kept = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, entry = '']) => entry);
      for (const entry of kept.filter((one) => existsSync(path.join(root, one))))
        cpSync(path.join(root, entry), path.join(folder, entry), { recursive: true });
      symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
      const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/samvad.js', 'run', '--help'], {
        cwd: folder,
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      assert.match(stdout, /confidence-router/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('deploy/prometheus', () => {
  const promtool = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('promtool', args, {
      cwd: path.join(root, 'deploy/prometheus'),
      encoding: 'utf8',
    });
    assert.equal(status, 0, `promtool ${args.join(' ')} (Debian: apt-get install prometheus): ${stdout}${stderr}`);
  };

  it('is a configuration that Prometheus accepts', () => promtool('check', 'config', 'prometheus.yml'));

  it('fires each alert in a case of its own, and not otherwise', () => {
    promtool('test', 'rules', 'alerts.test.yml');
    const cases = read('deploy/prometheus/alerts.test.yml');
    const alerts = [...read('deploy/prometheus/alerts.yml').matchAll(/alert: (\w+)/g)].map(([, name = '']) => name);
    assert.ok(alerts.length > 10);
    for (const name of alerts)
      assert.match(cases, new RegExp(`alertname(=|: )"?${name}\\b`), `${name} has no case that fires`);
  });

  it('alerts for every service that no process runs', () => {
    const rule = /alert: SamvadServiceMissing[^]*?labels:/.exec(read('deploy/prometheus/alerts.yml'))?.[0] ?? '';
    const named = [...rule.matchAll(/absent\(samvad_component_leading\{component="([\w-]+)"\}\)/g)].map(
      ([, name]) => name,
    );
    // The Label Studio sync works only where one is configured.
    const wanted = services.map(({ name }) => name).filter((name) => !name.startsWith('label-studio'));
    assert.deepEqual(named.sort(), wanted.sort());
  });

  it('has valid PromQL in every expression of the dashboard', () => {
    const dashboard = read('deploy/grafana/dashboards/samvad.json');
    const expressions = [...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(
      ([, text = '']) => JSON.parse(text) as string,
    );
    assert.ok(expressions.length > 10);
    const folder = mkdtempSync(path.join(os.tmpdir(), 'samvad-rules-'));
    try {
      const rules = expressions.map((expr, i) => ({ record: `panel_${String(i)}`, expr }));
      writeFileSync(path.join(folder, 'panels.yml'), JSON.stringify({ groups: [{ name: 'panels', rules }] }));
      promtool('check', 'rules', path.join(folder, 'panels.yml'));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('metrics', () => {
  const families = async () => {
    const registry = processMetrics(
      () => oneComponent,
      () => Promise.resolve(everything),
    );
    return (await Registry.merge([registry, measuredOnce().registry]).metrics()).split('\n');
  };

  it('of the dashboard and the alerts are exported by a process', async () => {
    const exported = new Set((await families()).map((line) => /^[a-z][a-z0-9_]*/.exec(line)?.[0]));
    const used = [read('deploy/prometheus/alerts.yml'), read('deploy/grafana/dashboards/samvad.json')].flatMap((file) =>
      [...file.matchAll(/\b(?:samvad|process|nodejs)_[a-z0-9_]+\b/g)].map(([name]) => name),
    );
    assert.ok(used.length > 10);
    for (const name of used) assert.ok(exported.has(name), `${name} is not exported`);
  });

  it('are all in docs/metrics.md, with their labels', async () => {
    const lines = await families();
    const exported = lines.flatMap((line) => /^# TYPE (samvad_\S+) (\w+)/.exec(line)?.slice(1).join(' ') ?? []);
    const rows = [...read('docs/metrics.md').matchAll(/^\| `(samvad_\w+)`\s*\| (\w+)\s*\| (.*?)\s*\|/gm)];
    assert.deepEqual(rows.map(([, name, type]) => `${name ?? ''} ${type ?? ''}`).sort(), exported.sort());
    for (const [, name = '', , labels = ''] of rows) {
      const line = lines.find((one) => new RegExp(`^${name}(_bucket)?[{ ]`).test(one)) ?? '';
      const written = [...line.matchAll(/(\w+)="/g)].map(([, label]) => label).filter((label) => label !== 'le');
      assert.deepEqual([...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).sort(), written.sort(), name);
    }
  });
});
