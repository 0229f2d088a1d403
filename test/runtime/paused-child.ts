/** Reports to its parent that it waits, and then whether a message arrived within the limit: `paused-child.ts LIMIT_MS`. */
import { once } from 'node:events';
import { within } from '../../runtime/within.ts';

const message = once(process, 'message');
const told = within(Number(process.argv[2]), message, () => new Error('late')).then(
  () => 'in time',
  () => 'late',
);
process.send?.('waits');
process.send?.(await told, () => process.exit());
