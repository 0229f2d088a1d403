/** Keeps a data folder to one Kafka cluster, the one that its local tables and spooled records belong to. */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Kafka } from 'kafkajs';
import { replaceFile } from './replace-file.ts';

/** The data folder was used with another cluster. */
export class OtherCluster extends Error {
  override readonly name = 'OtherCluster';
}

/**
 * Records the cluster id in `home` and in `spool`, which may be a separate volume. A folder that can't be written is skipped: it keeps no
 * data either.
 * @throws OtherCluster when a folder was used with another cluster: incomplete tables would count as complete, and spooled records would
 * go to the wrong cluster.
 */
export async function keepToCluster(kafka: Kafka, home: string, spool: string): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  const { clusterId } = await admin.describeCluster().finally(() => admin.disconnect());
  await mkdir(home, { recursive: true }).catch(() => undefined);
  for (const folder of [home, spool]) await note(folder, clusterId);
}

async function note(folder: string, clusterId: string): Promise<void> {
  const file = path.join(folder, 'cluster-id');
  const known = await readFile(file, 'utf8').catch(() => '');
  if (known === clusterId) return;
  if (known !== '')
    throw new OtherCluster(
      `${folder} was used with the Kafka cluster ${known}, and this one is ${clusterId}. Set SAMVAD_HOME to another folder; or, to use this one, ` +
        `send what waits in its spool to the old cluster, then delete spool/, state/ and cluster-id there.`,
    );
  await replaceFile(file, clusterId).catch(() => undefined);
}
