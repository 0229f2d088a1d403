/** The command line: one file a command, listed here. */
import { Command } from 'commander';
import { progress } from '../app/terminal.ts';
import { loadLabelStudioFile } from '../config.ts';
import { explain } from './explain.ts';

/** Each command by its name; its file is loaded when it is asked for, because all of them together take a second. */
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

// Who reads may go first: `head`, a `tee` that the same Ctrl-C has ended, a terminal that was closed; and a disk may be full. That is no
// reason to stop otherwise than in order. Only data that a file lacks is a failure.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (stream === process.stderr || error.code === 'EPIPE' || error.code === 'EIO') return;
    process.stderr.write(`Not all of the output could be written: ${error.message}.\n`);
    process.exitCode = 1;
  });

// A fault of the program ends the process at once: an orderly exit would wait for calls into librdkafka, and while one of them does
// not come back the process would stay a member of its consumer groups and do no work. The embedded servers end as at every exit.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error.stack ?? String(error)}\n`);
  process.emit('exit', 1);
  process.kill(process.pid, 'SIGKILL');
});

const program = new Command('samvad')
  .description('Turns the conversations of an NLU service into better models: an event-sourced pipeline on Kafka.')
  .addHelpText('after', '\nStart with `samvad demo`: the whole pipeline on example traffic, in about a minute.')
  .showHelpAfterError();

try {
  const asked = Object.entries(commands).filter(([name]) => name === process.argv[2]);
  for (const [, load] of asked.length > 0 ? asked : Object.entries(commands)) program.addCommand((await load())());
  loadLabelStudioFile();
  await program.parseAsync();
} catch (error) {
  progress(explain(error));
  process.exitCode = 1;
}
// An exit drops what a pipe has not taken yet.
for (const stream of [process.stdout, process.stderr])
  await new Promise<unknown>((resolve) => stream.write('', resolve));
process.exit(); // native clients may keep the loop alive after they were closed
