/** A process that has a state store open: `state-owner.ts FOLDER`. Writes its name into it, tells it, and stays until it is killed. */
import { openStateStore } from '../../runtime/state-store.ts';

const [, , folder = ''] = process.argv;
const name = String(process.pid);
const store = await openStateStore(folder);
store.restoredTo(0, Infinity);
store.apply(0, [['owner', Buffer.from(name)]], 1);
process.send?.(name);
setInterval(() => undefined, 1000);
