#!/usr/bin/env node
// The pool of libuv runs every blocking call of node-rdkafka, and each consumer holds a thread nearly all the time: `up` has more
// than thirty. With the default of 4, whatever else needs a thread waits (seven seconds for a look at the lag). Loading this file
// as a module of ECMAScript would start the pool before this line; so this folder is CommonJS.
process.env.UV_THREADPOOL_SIZE ??= '96';
void (async () => {
  // On a machine with much memory V8 lets a heap grow to four times what was in use before it collects: behind a backlog a component
  // then takes 360 MiB in place of 230, and is no faster. A growth and no limit, because a limit ends a process that needs more.
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--heap-growing-percent=50');
  const { register } = await import('tsx/esm/api');
  register();
  await import('../cli/samvad.ts');
})();
