/** Resets the router and the projection between two rounds. The canonical log stays. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prepared } from '../app/environment.ts';
import { confidenceRouter } from '../processors/confidence-router.ts';
import { kafkajsClient } from '../runtime/kafka-clients.ts';
import { ensureTopics } from '../runtime/topics.ts';
import { conversationLogs } from '../sinks/conversation-logs.ts';
import { PARTITIONS, topics } from '../topology.ts';

/** Recreates the topic of decisions, empties the table, and deletes the positions of router and projection. */
export async function emptyDecisions({ servers, pool }: Prepared): Promise<void> {
  const kafka = kafkajsClient(servers.kafka, 'bench');
  const admin = kafka.admin();
  await admin.connect();
  const { name } = topics.routingDecisions;
  const { groups } = await admin.listGroups();
  const known = [confidenceRouter.name, conversationLogs.name].filter((group) =>
    groups.some(({ groupId }) => groupId === group),
  );
  if (known.length > 0) await admin.deleteGroups(known);
  await admin.deleteTopics({ topics: [name] });
  while ((await admin.listTopics()).includes(name)) await sleep(50);
  await admin.disconnect();
  await ensureTopics(kafka, [topics.routingDecisions], PARTITIONS, 1);
  await pool.query('DELETE FROM projection_offsets WHERE projection = $1', [conversationLogs.name]);
  await pool.query(`TRUNCATE ${conversationLogs.table}`);
}
