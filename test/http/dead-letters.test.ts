import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';
import type { PlacedDeadLetter } from '../../runtime/dead-letters.ts';

/** Dead letters of one partition, oldest first; those from offset `sentFrom` were sent again. */
async function* lettersOf(count: number, sentFrom: number): AsyncGenerator<PlacedDeadLetter> {
  for (let offset = 0; offset < count; offset++) {
    const replayed =
      offset < sentFrom ? null : { id: `0/${String(offset)}`, by: 'op', at: Date.UTC(2026, 9, 6), corrected: false };
    yield await Promise.resolve({
      ...{ code: 'bad-frame', message: 'It is no Avro.', component: 'intake', topic: 'nlu.conversations' },
      ...{ partition: 0, offset, timestamp: offset, key: null, value: null, replayed },
      ...{ id: `0/${String(offset)}`, traceparent: null },
    });
  }
}

it('lists open dead letters although very many newer ones were sent again', async () => {
  const deadLetters = { all: () => lettersOf(1200, 600), replayable: () => true };
  const app = createServer({ tokens: [], deadLetters } as unknown as ServerOptions);
  const { total, open, letters } = (await app.inject('/v1/dead-letters')).json<{
    readonly total: number;
    readonly open: number;
    readonly letters: readonly { readonly offset: number; readonly replayed: object | null }[];
  }>();
  assert.deepEqual([total, open, letters.length], [1200, 600, 1000]);
  const offsets = (sent: boolean) =>
    letters.filter(({ replayed }) => (replayed !== null) === sent).map(({ offset }) => offset);
  assert.deepEqual(
    offsets(false),
    Array.from({ length: 500 }, (_, i) => 599 - i),
  );
  assert.deepEqual(
    offsets(true),
    Array.from({ length: 500 }, (_, i) => 1199 - i),
  );
});
