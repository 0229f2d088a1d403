/** Rates of COPY, of a projection and of a rebuild on the same Postgres, in rows per second. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { Prepared } from '../app/environment.ts';
import { startProjection } from '../runtime/projection-runner.ts';
import { writtenColumns } from '../runtime/projection-store.ts';
import { rebuildProjection } from '../runtime/rebuild.ts';
import { conversationLogs } from '../sinks/conversation-logs.ts';
import { PARTITIONS, topics } from '../topology.ts';

/** Copies the projected rows with COPY into the same table, with its indexes and triggers. */
export async function rawCopy({ pool }: Prepared, count: number): Promise<number> {
  const client = await pool.connect();
  try {
    const columns = Object.keys(writtenColumns(conversationLogs)).join(', ');
    await client.query(`CREATE TEMP TABLE bench_rows AS SELECT ${columns} FROM conversation_logs`);
    const lines: string[] = [];
    await client.query('TRUNCATE conversation_logs');
    const out = client.query(copyTo(`COPY bench_rows TO STDOUT`));
    for await (const chunk of out) lines.push((chunk as Buffer).toString());
    const started = performance.now();
    await pipeline(Readable.from(lines), client.query(copyFrom(`COPY conversation_logs (${columns}) FROM STDIN`)));
    return (count * 1000) / (performance.now() - started);
  } finally {
    client.release(true);
  }
}

/** Runs the projection on an empty table, from its assignment until the last row is committed. */
export async function projectionRate({ servers, codecs, pool, log }: Prepared, count: number): Promise<number> {
  const runner = startProjection({
    projection: conversationLogs,
    kafka: servers.kafka,
    codec: codecs.of(topics.routingDecisions),
    pool,
    log,
    onPoison: () => Promise.reject(new Error("The benchmark wrote a record that it can't read.")),
  });
  while (runner.stats().assigned < PARTITIONS) await sleep(1);
  const started = performance.now();
  while (runner.stats().processed < count) await sleep(5);
  const seconds = (performance.now() - started) / 1000;
  await runner.stop();
  return count / seconds;
}

/** Rebuilds the same table. */
export async function rebuildRate({ servers, codecs, pool }: Prepared): Promise<number> {
  const codec = codecs.of(topics.routingDecisions);
  const started = performance.now();
  const rows = await rebuildProjection({ projection: conversationLogs, kafka: servers.kafka, codec, pool });
  return (rows * 1000) / (performance.now() - started);
}
