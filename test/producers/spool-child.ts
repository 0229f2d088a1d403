/** Appends to the spool in the folder given until it is killed; prints each id once its append is acknowledged. */
import { openSpool } from '../../producers/spool.ts';
import { conversation } from '../fixtures.ts';

const [folder = '', prefix = 'c'] = process.argv.slice(2);
const spool = await openSpool({ folder, maxBytes: 1024 ** 3, segmentBytes: 64 * 1024 });
let n = 0;

async function writer(): Promise<void> {
  for (;;) {
    const id = `${prefix}-${String(n++)}`;
    await spool.append({ kind: 'conversation', record: conversation({ conversation_id: id }) });
    process.stdout.write(`${id}\n`);
  }
}

await Promise.all(Array.from({ length: 50 }, writer));
