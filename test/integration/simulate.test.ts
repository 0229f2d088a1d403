import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { defaultPolicy } from '../../policy/routing.ts';
import type { Round } from '../../simulation/simulate.ts';
import { samples } from '../trainer/samples.ts';

interface Played {
  readonly rounds: readonly Round[];
  readonly versions: readonly { readonly version: string }[];
  readonly standings: readonly {
    readonly version: string;
    readonly status: string;
    readonly traffic_percentage: number;
  }[];
}

describe('a simulation', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-corpus-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('starts with the LLM alone, gives the first version all traffic, and ends with a model that needs fewer reviews', async () => {
    const corpus = path.join(folder, 'corpus.jsonl');
    const rows = samples(180).map((row, i) => JSON.stringify({ ...row, text: `${row.text} ${String(i)}` }));
    await writeFile(corpus, rows.join('\n'));
    const cli = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
    const policy = path.join(folder, 'policy.json');
    const thresholds = { trust: 0.6, doubt: 0.6 };
    await writeFile(
      policy,
      JSON.stringify({ ...defaultPolicy, version: 'nobody-between', thresholds, audit_share: 0 }),
    );
    const args = [cli, 'simulate', '--corpus', corpus, '--policy', policy, '--round', '360', '--threshold', '700'];
    const { stdout } = await promisify(execFile)(process.execPath, [...args, '--rollout', '--json']);
    const { rounds, versions, standings } = JSON.parse(stdout) as Played;
    const [first, second, third] = rounds;
    assert.ok(first && second && third);
    assert.deepEqual(
      [first.version, first.fallback, first.reviewed, first.modelAccuracy],
      ['router-v1.0.0', 1, 1, null],
    );
    assert.equal(third.version, 'router-v1.1.0');
    assert.ok(third.fallback < 0.5 && third.reviewed < 0.8, JSON.stringify(third));
    assert.equal(third.reviewed, third.fallback, 'by this policy people see what the LLM answers, and nothing else');
    assert.ok(third.accuracy > first.accuracy && (third.modelAccuracy ?? 0) > 0.9, JSON.stringify(rounds));
    assert.deepEqual(
      versions.map(({ version }) => version),
      ['router-v1.0.0', 'router-v1.1.0'],
    );
    assert.deepEqual(
      standings.map(({ version, status, traffic_percentage }) => [version, status, traffic_percentage]),
      [
        ['router-v1.0.0', 'retired', 0],
        ['router-v1.1.0', 'production', 100],
      ],
    );
  });
});
