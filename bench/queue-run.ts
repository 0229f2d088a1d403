/** One simulation of the queue, in its own process: `queue-run.ts SET ORDER SEED PART alone|groups` prints its points as JSON. */
import { experiments } from './queue-data.ts';
import type { Part } from './queue-data.ts';
import { orders } from './queue-orders.ts';
import { playQueue } from './queue-play.ts';

const [set = '', order = '', seed = '', part = '', along = ''] = process.argv.slice(2);
const traffic = experiments[set]?.(Number(seed), part as Part);
const rank = orders[order];
if (!traffic || !rank) throw new Error(`There is no set ${set} or no order ${order}.`);
const curve = await playQueue(traffic, rank, Number(seed), { inGroups: along === 'groups' });
process.stdout.write(JSON.stringify(curve));
