/** Tells its parent whether a message came within so many milliseconds, once it has told that it waits: `paused-child.ts LIMIT_MS`. */
import { once } from 'node:events';
import { within } from '../../runtime/within.ts';

const message = once(process, 'message');
const told = within(Number(process.argv[2]), message, () => new Error('late')).then(
  () => 'in time',
  () => 'late',
);
process.send?.('waits');
process.send?.(await told, () => process.exit());
