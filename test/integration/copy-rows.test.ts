import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { copyInto, rowEncoder } from '../../runtime/copy-rows.ts';
import type { Cell } from '../../stream/projection.ts';
import { startDatabase } from './stack.ts';
import type { Database } from './stack.ts';

const columns = {
  id: 'text',
  said: 'text',
  entities: 'jsonb',
  sure: 'float8',
  rank: 'smallint',
  ms: 'int',
  log_offset: 'bigint',
  audit: 'boolean',
  at: 'timestamptz',
};
const CREATED = Date.UTC(2026, 9, 5, 12, 30, 0, 123);
const BLANK: readonly Cell[] = ['', '[]', null, null, null, null, null, null];

describe('rows encoded for COPY', { timeout: 60_000 }, () => {
  let database: Database;
  before(async () => {
    database = await startDatabase();
  });
  after(() => database.stop());

  async function stored(rows: readonly (readonly Cell[])[], numbers = rows.map((_, i) => i)) {
    const client = await database.pool.connect();
    try {
      const definition = Object.entries(columns).map((column) => column.join(' '));
      await client.query(`CREATE TEMP TABLE cells (${definition.join(', ')})`);
      const encoder = rowEncoder(Object.values(columns));
      for (const row of rows) encoder.add(row);
      await copyInto(client, 'cells', Object.keys(columns), [encoder.take(numbers)]);
      return (await client.query<Record<string, unknown>>('SELECT * FROM cells ORDER BY id')).rows;
    } finally {
      client.release(true);
    }
  }

  /** Asserts that the database returns `shown` for `texts`, as text and inside JSON. */
  async function areStored(texts: readonly string[], shown: readonly string[]): Promise<void> {
    const found = await stored(texts.map((text, i) => [String(i), text, JSON.stringify([text]), ...BLANK.slice(2)]));
    assert.deepEqual(
      found.map(({ said }) => said),
      shown,
    );
    assert.deepEqual(
      found.map(({ entities }) => entities),
      shown.map((text) => [text]),
    );
  }

  it('keep values of every type, and nulls', async () => {
    const [found] = await stored([['a', 'hello', '[{"a":1}]', -0.5, -3, -7, 2 ** 53 - 1, true, CREATED]]);
    assert.deepEqual(found, {
      id: 'a',
      said: 'hello',
      entities: [{ a: 1 }],
      sure: -0.5,
      rank: -3,
      ms: -7,
      log_offset: String(2 ** 53 - 1),
      audit: true,
      at: new Date(CREATED),
    });
    const [blank] = await stored([['b', null, null, null, null, null, null, null, null]]);
    assert.deepEqual(new Set(Object.values(blank ?? {})), new Set(['b', null]));
  });

  it('keep texts of any script and length', async () => {
    const texts = [
      '',
      'x'.repeat(24),
      'x'.repeat(25),
      `${'x'.repeat(23)}é`,
      'मेरा ऑर्डर',
      '😀',
      'a\tb\\n"\'',
      'é'.repeat(300_000),
    ];
    await areStored(texts, texts);
  });

  it('show NUL as the replacement character, and leave the letters \\u0000 alone', async () => {
    const texts = ['a\0b', String.raw`a\u0000b`, String.raw`a\\u0000b`, `${String.raw`\u0000`}\0`, '\0'.repeat(3)];
    const shown = texts.map((text) => text.replaceAll('\0', '\ufffd'));
    await areStored(texts, shown);
  });

  it('contain only the requested rows', async () => {
    const rows = ['a', 'b', 'c', 'd'].map((id) => [id, ...BLANK]);
    assert.deepEqual(
      (await stored(rows, [3, 1])).map(({ id }) => id),
      ['b', 'd'],
    );
  });
});
