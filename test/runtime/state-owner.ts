/**
 * A process that has a state store open: `state-owner.ts FOLDER [fill]`. It writes its name into the store, sends it to its parent,
 * and stays until it is killed. With `fill`, it then writes until the disk is full, prints the error, closes the store and ends.
 */
import { openStateStore } from '../../runtime/state-store.ts';

const [, , folder = '', what] = process.argv;
const name = String(process.pid);
const store = await openStateStore(folder);
store.restoredTo(0, Infinity);
store.apply(0, [['owner', Buffer.from(name)]], 1);
process.send?.(name);
if (what === 'fill') {
  const record = { topic: 'table', partition: 0, value: Buffer.alloc(1024 * 1024), timestamp: 0, traceparent: null };
  try {
    for (let i = 0; ; i++)
      await store.stage(new Map([[0, new Map([[String(i), { ...record, key: String(i) }]])]])).write();
  } catch (error) {
    process.stdout.write(String(error));
  }
  await store.close();
} else setInterval(() => undefined, 1000);
