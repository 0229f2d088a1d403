#!/usr/bin/env node
// The pool of libuv runs every blocking call of node-rdkafka, and each consumer holds a thread nearly all the time: `up` has more
// than thirty. With the default of 4, whatever else needs a thread waits (seven seconds for a look at the lag). Loading this file
// as a module of ECMAScript would start the pool before this line; so this folder is CommonJS.
process.env.UV_THREADPOOL_SIZE ??= '96';
void (async () => {
  const { register } = await import('tsx/esm/api');
  register();
  await import('../cli/samvad.ts');
})();
