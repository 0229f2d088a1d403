#!/usr/bin/env node
// The pool of libuv runs every blocking call of node-rdkafka, and each consumer holds a thread nearly all the time: `up` has more
// than thirty. With fewer threads than these, whatever else needs one waits (with 32, seven seconds for a look at the lag).
process.env.UV_THREADPOOL_SIZE ??= '96';
const { register } = await import('tsx/esm/api');
register();
await import('../cli/samvad.ts');
