#!/usr/bin/env node
// The pool of libuv runs every blocking call of node-rdkafka; with the default of 4 threads five consumers starve it.
process.env.UV_THREADPOOL_SIZE ??= '32';
const { register } = await import('tsx/esm/api');
register();
await import('../cli/samvad.ts');
