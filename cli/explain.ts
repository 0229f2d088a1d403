/** What a command that failed says. Apart, because it knows the errors of every part, and loading those takes a second. */
import { UsageError } from '../app/terminal.ts';
import { ConfigError } from '../config.ts';
import { DayNotOver } from '../jobs/daily.ts';
import { LabelStudioError } from '../label-studio/http.ts';
import { PlatformError } from '../platform/platform-error.ts';
import { ModelLogRefused } from '../policy/model-log.ts';
import { InputError } from '../producers/inputs.ts';
import { UnreadableFile } from '../producers/jsonl.ts';
import { NotPermitted, RecordTooLarge } from '../producers/kafka-link.ts';
import { SpoolUnwritable } from '../producers/spool.ts';
import { OtherCluster } from '../runtime/cluster.ts';
import { MigrationChanged } from '../runtime/migrate.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { reasonOf } from '../runtime/reason.ts';
import { RegistryUnavailable, SchemaRefused } from '../runtime/schema-registry.ts';
import { TopicMismatch } from '../runtime/topics.ts';
import { ArtifactError } from '../trainer/artifacts.ts';
import { CorpusError } from '../trainer/data-set/corpus.ts';
import { ExportRefused } from '../trainer/data-set/export.ts';
import { TrainingError } from '../trainer/learning/train.ts';
import { EncoderError } from '../trainer/learning/transformer-encoder.ts';

/** A sentence for what the user can mend; a stack trace only for what is a bug. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const known = [
    ArtifactError,
    ConfigError,
    CorpusError,
    DayNotOver,
    ExportRefused,
    EncoderError,
    InputError,
    LabelStudioError,
    MigrationChanged,
    NotPermitted,
    PlatformError,
    RecordTooLarge,
    ModelLogRefused,
    RegistryUnavailable,
    SchemaRefused,
    SpoolUnwritable,
    OtherCluster,
    TopicMismatch,
    TrainingError,
    Transient,
    UnreadableFile,
    UsageError,
  ].some((kind) => error instanceof kind);
  if (error.name.startsWith('KafkaJS')) return `Kafka does not answer as it should: ${reasonOf(error)}.`;
  return known || 'code' in error ? error.message : (error.stack ?? error.message);
}
