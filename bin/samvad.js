#!/usr/bin/env node
// libuv's thread pool runs every blocking call of node-rdkafka, and each consumer occupies a thread nearly all the time; `up` has more
// than thirty consumers. With the default of 4 threads, other work waits: a look at the lag took seven seconds. This folder is CommonJS
// because loading an ES module would start the pool before this line.
process.env.UV_THREADPOOL_SIZE ??= '96';
void (async () => {
  // With much memory V8 lets a heap grow to four times its used size before it collects. A component with a backlog then takes 360 MiB
  // instead of 230 without being faster. This limits the growth and not the size, because a size limit ends a process that needs more.
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--heap-growing-percent=50');
  const { register } = await import('tsx/esm/api');
  register();
  await import('../cli/samvad.ts');
})();
