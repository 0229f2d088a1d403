/** The command line. Each command is a file, listed here. */
import { Command } from 'commander';
import { progress } from '../app/terminal.ts';
import { loadLabelStudioFile } from '../config.ts';
import { codeVersion } from '../trainer/code-version.ts';
import { explain } from './explain.ts';

/** Commands by name. A command's file is loaded on demand, because loading all of them takes a second. */
const commands: Readonly<Record<string, () => Promise<() => Command>>> = {
  up: async () => (await import('./up.ts')).upCommand,
  demo: async () => (await import('./demo.ts')).demoCommand,
  platform: async () => (await import('./platform.ts')).platformCommand,
  run: async () => (await import('./run.ts')).runCommand,
  review: async () => (await import('./review.ts')).reviewCommand,
  ingest: async () => (await import('./ingest.ts')).ingestCommand,
  export: async () => (await import('./export.ts')).exportCommand,
  rebuild: async () => (await import('./rebuild.ts')).rebuildCommand,
  topology: async () => (await import('./topology.ts')).topologyCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  accuracy: async () => (await import('./accuracy.ts')).accuracyCommand,
  daily: async () => (await import('./daily.ts')).dailyCommand,
  weekly: async () => (await import('./weekly.ts')).weeklyCommand,
  migrate: async () => (await import('./migrate.ts')).migrateCommand,
  'dead-letters': async () => (await import('./dead-letters.ts')).deadLettersCommand,
  train: async () => (await import('./train.ts')).trainCommand,
  'train-router': async () => (await import('./train-router.ts')).trainRouterCommand,
  simulate: async () => (await import('./simulate.ts')).simulateCommand,
  models: async () => (await import('./models.ts')).modelsCommand,
  promote: async () => (await import('./models.ts')).promoteCommand,
  rollback: async () => (await import('./models.ts')).rollbackCommand,
  erase: async () => (await import('./erase.ts')).eraseCommand,
  policy: async () => (await import('./policy.ts')).policyCommand,
  replay: async () => (await import('./replay.ts')).replayCommand,
  token: async () => (await import('./token.ts')).tokenCommand,
  'label-studio': async () => (await import('./label-studio.ts')).labelStudioCommand,
};

// The reader of a pipe may end first (`head`, or a `tee` that the same Ctrl-C has ended), a terminal may close, a disk may be full. The
// command still ends in order. Only incomplete data on standard output is a failure.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (stream === process.stderr || error.code === 'EPIPE' || error.code === 'EIO') return;
    process.stderr.write(`Not all of the output could be written: ${error.message}.\n`);
    process.exitCode = 1;
  });

// A bug ends the process at once: an orderly exit would wait for calls into librdkafka, and while one of them hangs the process would
// stay a member of its consumer groups without doing work. The embedded servers stop as at every exit.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error.stack ?? String(error)}\n`);
  process.emit('exit', 1);
  process.kill(process.pid, 'SIGKILL');
});

const program = new Command('samvad')
  .description('Turns the conversations of an NLU service into better models: an event-sourced pipeline on Kafka.')
  .version(codeVersion)
  .addHelpText('after', '\nStart with `samvad demo`: the whole pipeline on example traffic, in about a minute.')
  .showHelpAfterError();

try {
  const [, , first = ''] = process.argv;
  const asked = Object.entries(commands).filter(([name]) => name === first);
  const needed = /^(-V|--version)$/.test(first) || asked.length > 0 ? asked : Object.entries(commands);
  for (const [, load] of needed) program.addCommand((await load())());
  loadLabelStudioFile();
  await program.parseAsync();
} catch (error) {
  progress(explain(error));
  process.exitCode = 1;
}
// process.exit would drop output that a pipe has not accepted yet.
for (const stream of [process.stdout, process.stderr])
  await new Promise<unknown>((resolve) => stream.write('', resolve));
process.exit(); // native clients may keep the event loop alive after they are closed
