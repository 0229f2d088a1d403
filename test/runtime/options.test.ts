import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { day, readJson, time } from '../../cli/options.ts';
import { readPolicy } from '../../cli/policy.ts';

it('a time is RFC 3339, or a day that exists', () => {
  for (const [text, iso] of [
    ['2026-11-01', '2026-11-01T00:00:00.000Z'],
    ['2028-02-29', '2028-02-29T00:00:00.000Z'],
    ['2026-11-01T08:00:00Z', '2026-11-01T08:00:00.000Z'],
    ['2026-11-01t08:00:00.5z', '2026-11-01T08:00:00.500Z'],
    ['2026-11-01T08:00:00+05:30', '2026-11-01T02:30:00.000Z'],
  ] as const)
    assert.equal(time(text).toISOString(), iso);
  for (const text of [
    '2026-02-30',
    '0',
    '-1',
    '1',
    '2026',
    '2026-11',
    '11/01/2026',
    'May 3',
    '2026-11-01 08:00:00',
    '',
  ])
    assert.throws(() => time(text), /It must be a time such as/, text);
  for (const text of ['2026-11-01T08:00:00', '2026-02-30T00:00:00Z', '2026-11-01T25:00:00Z', '0000-01-01'])
    assert.throws(() => time(text), /It must be a time such as/, text);
});

it('a day exists, and is of this millennium, as over HTTP', () => {
  assert.equal(day('2026-11-25'), '2026-11-25');
  for (const text of ['0000-01-01', '1999-12-31', '3000-01-01', '2026-02-30', '2026-11-25T00:00:00Z'])
    assert.throws(() => day(text), /It must be a day such as/, text);
});

it('a JSON file may begin with a byte order mark, and a policy of many exceptions is refused in a line', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-options-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'policy.json');
  await writeFile(file, '\uFEFF{"version":"v"}');
  assert.deepEqual(await readJson(file), { version: 'v' });
  const policy = { version: 'v', thresholds: { trust: 0.9, doubt: 0.6 }, audit_share: 0.1 };
  await writeFile(file, JSON.stringify({ ...policy, exceptions: Array(500_000).fill({}) }));
  await assert.rejects(readPolicy(file), {
    name: 'UsageError',
    message: `${file} is not a policy that can be adopted:\n  exceptions: There are 500000; at most 50 are allowed.`,
  });
});
