import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';
import { memoryProducer } from '../producers/memory-producer.ts';

const grounds = { reason: 'case 17', requested_by: 'meera' };

/** A server with the conversation and the user "5", for which every erasure is done at once. */
function server(producer = memoryProducer()) {
  const query = (sql: string) => {
    const rows = sql.includes('AS forgotten')
      ? [{ forgotten: true }]
      : sql.includes('WHERE user_id')
        ? [{ conversation_id: '5' }]
        : [];
    return Promise.resolve({ rows, rowCount: 1 });
  };
  return createServer({ tokens: [], pool: { query }, producer } as unknown as ServerOptions);
}

async function erase(payload: string, producer = memoryProducer()) {
  const headers = { 'content-type': 'application/json' };
  const response = await server(producer).inject({ method: 'POST', url: '/v1/erasures', payload, headers });
  assert.equal(producer.events.length, response.statusCode === 200 ? 1 : 0);
  const { problems } = response.json<{ problems?: { field: string }[] }>();
  return [response.statusCode, problems?.map(({ field }) => field)];
}

it('erases a conversation or those of a user; null means absent', async () => {
  for (const subject of [{ conversation_id: '5' }, { user_id: '5' }, { conversation_id: '5', user_id: null }])
    assert.deepEqual(await erase(JSON.stringify({ ...subject, ...grounds })), [200, undefined]);
});

for (const [body, fields] of [
  [{ conversation_id: 5, ...grounds }, ['conversation_id']],
  [{ conversation_id: ['5'], ...grounds }, ['conversation_id']],
  [{ user_id: 5, ...grounds }, ['user_id']],
  [{ user_id: true, ...grounds, reason: 17 }, ['user_id', 'reason']],
  [{ conversation_id: '5' }, ['reason']],
  [{ conversation_id: '5', ...grounds, requested_by: 5 }, ['requested_by']],
  [{ conversation_id: '', ...grounds }, ['conversation_id']],
  [{ user_id: 'x'.repeat(201), ...grounds }, ['user_id']],
  [{ conversation_id: '5', ...grounds, colour: 'red' }, ['colour']],
  [{ conversation_id: '5', user_id: '5', ...grounds }, undefined],
  [grounds, undefined],
  [['5'], ['request']],
  [null, ['request']],
] as const)
  it(`refuses ${JSON.stringify(body).slice(0, 80)} and erases nothing`, async () => {
    assert.deepEqual(await erase(JSON.stringify(body)), [400, fields]);
  });
