/** A data folder belongs to one Kafka cluster: the copies of tables and the spooled records in it are of that one. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Kafka } from 'kafkajs';

/** A data folder that was used with another cluster. */
export class OtherCluster extends Error {
  override readonly name = 'OtherCluster';
}

/**
 * Notes in `home`, and in its `spool` where there is one, which may be a volume of its own, with which cluster they are used. Where nothing can
 * be written nothing is kept either, and nothing is noted.
 * @throws OtherCluster when one was used with another cluster: tables would be taken for complete that are not, and spooled records
 * go astray.
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
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, clusterId)
    .then(() => rename(draft, file))
    .catch(() => undefined);
}
