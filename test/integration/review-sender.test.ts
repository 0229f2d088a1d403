import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { openReviewSender } from '../../label-studio/review-sender.ts';
import { Transient } from '../../runtime/rdkafka.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import type { ReviewSubmitted } from '../../schemas/types.ts';
import { topics } from '../../topology.ts';
import { startStack } from './stack.ts';
import type { Stack } from './stack.ts';

/** More reviews than the client reports at a time. */
const MANY = 150;
const SEND_MS = 4000;

function review(i: number): ReviewSubmitted {
  return {
    ...{ conversation_id: `c-${i}`, verdict: 'approve', corrected_intent: null, corrected_module: null },
    ...{
      reviewer: 'asha',
      reviewed_at: Date.UTC(2026, 10, 1),
      review_id: `label-studio/${i}/x`,
      source: 'label_studio',
    },
    ...{ time_taken_ms: null, shown: null, withdraws: null },
  };
}

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

it('sending reviews succeeds only when Kafka has all of them', { timeout: 300_000 }, async (t) => {
  const { servers, codecs } = stack.prepared;
  const sender = openReviewSender(servers.kafka, codecs, SEND_MS);
  t.after(() => sender.close()); // an open producer keeps the process
  await sender.send([review(0)]);
  stack.platform.kill('kafka', 'SIGKILL');
  const many = Array.from({ length: MANY }, (_, i) => review(i + 1));
  await assert.rejects(sender.send(many), Transient);
  await stack.platform.restart('kafka');
  await sender.send(many);
  await sender.send([]);
  const codec = codecs.of(topics.reviews);
  const ids = new Set<string | null>();
  for await (const { value } of readTopic(servers.kafka, topics.reviews.name))
    if (value !== null) ids.add(codec.decode(value).review_id);
  assert.equal(ids.size, MANY + 1);
});
