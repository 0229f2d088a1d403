/** The command line: one file a command, listed here. */
import { Command } from 'commander';
import { ConfigError, loadLabelStudioFile } from '../config.ts';
import { DayNotOver } from '../jobs/daily.ts';
import { LabelStudioError } from '../label-studio/http.ts';
import { RegistryError } from '../policy/model-log.ts';
import { PlatformError } from '../platform/platform-error.ts';
import { MigrationChanged } from '../runtime/migrate.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { RegistryUnavailable, SchemaRefused } from '../runtime/schema-registry.ts';
import { TopicMismatch } from '../runtime/topics.ts';
import { CorpusError } from '../trainer/corpus.ts';
import { TrainingError } from '../trainer/train.ts';
import { accuracyCommand } from './accuracy.ts';
import { dailyCommand } from './daily.ts';
import { deadLettersCommand } from './dead-letters.ts';
import { demoCommand } from './demo.ts';
import { eraseCommand } from './erase.ts';
import { exportCommand } from './export.ts';
import { ingestCommand } from './ingest.ts';
import { labelStudioCommand } from './label-studio.ts';
import { migrateCommand } from './migrate.ts';
import { modelsCommand, promoteCommand, rollbackCommand } from './models.ts';
import { platformCommand } from './platform.ts';
import { policyCommand } from './policy.ts';
import { rebuildCommand } from './rebuild.ts';
import { replayCommand } from './replay.ts';
import { reviewCommand } from './review.ts';
import { runCommand } from './run.ts';
import { simulateCommand } from './simulate.ts';
import { statusCommand } from './status.ts';
import { UsageError } from './terminal.ts';
import { tokenCommand } from './token.ts';
import { topologyCommand } from './topology.ts';
import { trainRouterCommand } from './train-router.ts';
import { trainCommand } from './train.ts';
import { upCommand } from './up.ts';

const program = new Command('samvad')
  .description('Turns the conversations of an NLU service into better models: an event-sourced pipeline on Kafka.')
  .addHelpText('after', '\nStart with `samvad demo`: the whole pipeline on example traffic, in about a minute.')
  .showHelpAfterError();

for (const command of [
  upCommand,
  demoCommand,
  platformCommand,
  runCommand,
  reviewCommand,
  ingestCommand,
  exportCommand,
  rebuildCommand,
  topologyCommand,
  statusCommand,
  accuracyCommand,
  dailyCommand,
  migrateCommand,
  deadLettersCommand,
  trainCommand,
  trainRouterCommand,
  simulateCommand,
  modelsCommand,
  promoteCommand,
  rollbackCommand,
  eraseCommand,
  policyCommand,
  replayCommand,
  tokenCommand,
  labelStudioCommand,
]) {
  program.addCommand(command());
}

try {
  loadLabelStudioFile();
  await program.parseAsync();
  process.exit(process.exitCode ?? 0); // native clients may keep the loop alive after they were closed
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exit(1);
}

/** A sentence for what the user can mend; a stack trace only for what is a bug. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const known = [
    ConfigError,
    CorpusError,
    DayNotOver,
    LabelStudioError,
    MigrationChanged,
    PlatformError,
    RegistryError,
    RegistryUnavailable,
    SchemaRefused,
    TopicMismatch,
    TrainingError,
    Transient,
    UsageError,
  ].some((kind) => error instanceof kind);
  if (error.name.startsWith('KafkaJS')) return `Kafka does not answer as it should: ${error.message}`;
  return known || 'code' in error ? error.message : (error.stack ?? error.message);
}
