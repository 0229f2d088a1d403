/** All settings with their defaults. No other file reads the environment. */
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Cron } from 'croner';
import { parseEnv } from 'node:util';

/** How to reach a Kafka cluster. */
export interface KafkaConfig {
  /** `host:port,host:port` */
  readonly brokers: string;
  /** TLS to the brokers. `caFile` is a PEM file; the system's certificates when absent. */
  readonly tls?: { readonly caFile?: string };
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
}

/** The addresses of the three servers. */
export interface Servers {
  readonly kafka: KafkaConfig;
  readonly schemaRegistryUrl: string;
  /** Empty when the process does not use Postgres. */
  readonly databaseUrl: string;
}

/** All settings. A server without an address is the embedded one. */
export interface Config {
  readonly home: string;
  readonly cache: string;
  readonly logLevel: string;
  readonly http: {
    readonly host: string;
    readonly port: number;
    /** The lines of SAMVAD_API_TOKENS, `NAME ROLES sha256:HEX`; absent when no token is required. */
    readonly tokens?: string;
  };
  /** Where `samvad run` serves health and metrics; nowhere when absent. */
  readonly health?: { readonly host: string; readonly port: number };
  readonly replication: number;
  readonly training: TrainingConfig;
  readonly jobs: JobsConfig;
  /** Undefined when Label Studio is not used. */
  readonly labelStudio: LabelStudioConfig | undefined;
  readonly kafka: KafkaConfig | undefined;
  readonly schemaRegistryUrl: string | undefined;
  readonly databaseUrl: string | undefined;
  /** Where spans are sent by OTLP/HTTP; undefined when none are made. */
  readonly otlpEndpoint: string | undefined;
}

/** When and how to train, and where models are kept. */
export interface TrainingConfig {
  /** New approved samples that start a run. */
  readonly threshold: number;
  /** Unused samples that the weekly job requires. */
  readonly weeklyMinimum: number;
  /** Folder of model files and reports, shared by all machines that train, deploy and serve. */
  readonly artifacts: string;
  /** Replaces the built-in trainer. */
  readonly program?: TrainerProgram;
  /** The sentence encoder of the built-in trainer; hashed n-grams when absent. */
  readonly encoder?: EncoderChoice;
  /** Folder of sentence encoders, one subfolder each, and of downloads from the hub. Machines that train or serve need it. */
  readonly encoders: string;
  /** Folder in which embeddings of training texts are kept between runs. */
  readonly embeddings: string;
}

/** An external trainer (docs/training.md, "An external trainer"). */
export interface TrainerProgram {
  readonly command: readonly [program: string, ...args: string[]];
  /** After this time it is killed. */
  readonly timeoutMs: number;
}

/** A sentence encoder in ONNX. */
export interface EncoderChoice {
  /** A subfolder of the folder of encoders or, with a revision, an id on the hub. */
  readonly model: string;
  /** Commit on the hub. */
  readonly revision?: string;
  /** How token vectors are combined into one. */
  readonly pooling: 'mean' | 'cls';
}

/** When the scheduler runs its jobs, and where reports go. */
export interface JobsConfig {
  /** Cron patterns, UTC. */
  readonly daily: string;
  readonly weekly: string;
  /** Folder of the daily reports. */
  readonly reports: string;
}

/** The connection to Label Studio. */
export interface LabelStudioConfig {
  /** Ends with a slash. */
  readonly url: string;
  /** A personal access token, or a legacy token. */
  readonly apiKey: string;
  /** The project to use; by default it is found by its title, or created. */
  readonly projectId?: number;
  /** Target number of open tasks. */
  readonly openTasks: number;
  /** Seconds between two synchronisations, unless a webhook starts one earlier. */
  readonly syncSeconds: number;
  /** The secret that a webhook must send; without it, webhooks are refused. */
  readonly webhookSecret?: string;
  /** Address at which Label Studio reaches this installation's webhook route. With it the sync registers the webhook. */
  readonly webhookUrl?: string;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** A setting in the environment that can't be used. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Choices of a command line that replace SAMVAD_TRAINER_COMMAND and SAMVAD_ENCODER. */
export interface TrainerChoice {
  readonly command?: string | undefined;
  readonly encoder?: string | undefined;
}

/**
 * Reads the configuration. An empty variable counts as unset, because Docker Compose passes unset variables on as empty.
 * @throws ConfigError naming the variable and what it may hold.
 */
export function readConfig(variables: NodeJS.ProcessEnv = process.env, trainer: TrainerChoice = {}): Config {
  const env = Object.fromEntries(Object.entries(variables).filter(([, value = '']) => value !== ''));
  const home = path.resolve(env['SAMVAD_HOME'] ?? '.samvad');
  const artifacts = path.resolve(env['SAMVAD_ARTIFACTS'] ?? path.join(home, 'artifacts'));
  return {
    home,
    cache: path.resolve(env['SAMVAD_CACHE'] ?? path.join(os.homedir(), '.cache', 'samvad')),
    logLevel: oneOf(env, 'SAMVAD_LOG_LEVEL', LOG_LEVELS, 'info'),
    http: {
      host: env['SAMVAD_HTTP_HOST'] ?? '127.0.0.1',
      port: port(env, 'SAMVAD_HTTP_PORT', 8080),
      ...apiTokens(env),
    },
    ...(env['SAMVAD_HEALTH_PORT'] !== undefined && {
      health: { host: env['SAMVAD_HEALTH_HOST'] ?? '127.0.0.1', port: port(env, 'SAMVAD_HEALTH_PORT', 0) },
    }),
    replication: positive(env, 'SAMVAD_REPLICATION', 1),
    training: {
      threshold: positive(env, 'SAMVAD_TRAINING_THRESHOLD', 1000),
      weeklyMinimum: positive(env, 'SAMVAD_WEEKLY_MINIMUM', 500),
      artifacts,
      ...readTrainer(env, trainer),
      encoders: path.resolve(env['SAMVAD_ENCODERS'] ?? path.join(artifacts, 'encoders')),
      embeddings: path.resolve(env['SAMVAD_EMBEDDINGS'] ?? path.join(home, 'embeddings')),
    },
    jobs: {
      daily: cronPattern(env, 'SAMVAD_DAILY_AT', '0 2 * * *'),
      weekly: cronPattern(env, 'SAMVAD_WEEKLY_AT', '0 3 * * 0'),
      reports: path.resolve(env['SAMVAD_REPORTS'] ?? 'logs'),
    },
    labelStudio: readLabelStudio(env),
    kafka: readKafka(env),
    schemaRegistryUrl: httpAddress(env, 'SCHEMA_REGISTRY_URL', 'http://127.0.0.1:8081'),
    databaseUrl: databaseUrl(env),
    otlpEndpoint: httpAddress(env, 'OTEL_EXPORTER_OTLP_ENDPOINT', 'http://127.0.0.1:4318'),
  };
}

function readTrainer(env: NodeJS.ProcessEnv, choice: TrainerChoice): Pick<TrainingConfig, 'program' | 'encoder'> {
  const chosen = choice.command !== undefined || choice.encoder !== undefined;
  const command = chosen ? choice.command : env['SAMVAD_TRAINER_COMMAND'];
  const encoder = chosen ? choice.encoder : env['SAMVAD_ENCODER'];
  const [commandName, encoderName] = chosen ? ['--command', '--encoder'] : ['SAMVAD_TRAINER_COMMAND', 'SAMVAD_ENCODER'];
  if (command !== undefined && encoder !== undefined)
    throw new ConfigError(
      `${commandName} and ${encoderName} are both set; a program brings its own encoder. Set one of them.`,
    );
  const seconds = positive(env, 'SAMVAD_TRAINER_SECONDS', 24 * 60 * 60);
  if (seconds > MOST_SECONDS)
    throw new ConfigError(`SAMVAD_TRAINER_SECONDS is ${seconds}; it may be at most ${MOST_SECONDS}.`);
  const pooling = oneOf(env, 'SAMVAD_ENCODER_POOLING', ['mean', 'cls'], 'mean');
  return {
    ...(command !== undefined && { program: { command: words(command, commandName), timeoutMs: 1000 * seconds } }),
    ...(encoder !== undefined && { encoder: { ...encoderModel(encoder, encoderName), pooling } }),
  };
}

/** Addresses, credentials and tokens of the servers. */
const OF_THE_SERVERS = /^(KAFKA_|LABEL_STUDIO_|(DATABASE_URL|SCHEMA_REGISTRY_URL|SAMVAD_API_TOKENS)$)/;

/** The environment for an external trainer: without addresses and credentials of the servers. */
export function programEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !OF_THE_SERVERS.test(name)));
}

/** A timer of Node lasts at most 2³¹ ms. */
const MOST_SECONDS = 2_000_000;

/**
 * Program and arguments: words separated by blanks, or a JSON array when a word contains a blank. No shell is involved, so quotes have no
 * meaning and are refused.
 */
function words(text: string, name: string): readonly [program: string, ...args: string[]] {
  const array = text.trim().startsWith('[');
  const [program = '', ...args] = array ? jsonWords(text) : text.trim().split(/\s+/);
  if (program !== '' && (array || !/["'`\\]/.test(text))) return [program, ...args];
  throw new ConfigError(
    `${name} is ${JSON.stringify(text)}; it must be words such as python3 finetune.py --epochs 3, without quotes, or a JSON array such as ["python3", "my trainer.py"].`,
  );
}

function jsonWords(text: string): readonly string[] {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) && parsed.every((word) => typeof word === 'string') ? parsed : [];
  } catch {
    return [];
  }
}

/** A folder of SAMVAD_ENCODERS by its name, or `ID@COMMIT` on the hub. */
function encoderModel(text: string, name: string): Pick<EncoderChoice, 'model' | 'revision'> {
  const [, model, revision] = /^((?:[\w-][\w.-]*\/)*[\w-][\w.-]*)(?:@([0-9a-f]{40}))?$/.exec(text) ?? [];
  if (model !== undefined) return { model, ...(revision !== undefined && { revision }) };
  throw new ConfigError(
    `${name} is ${text}; it must be the name of a folder in SAMVAD_ENCODERS, or ID@COMMIT on the hub with the 40 digits of the commit.`,
  );
}

/** The HTTP address in a variable. The error does not show a user name or a password in it. */
function httpAddress(env: NodeJS.ProcessEnv, name: string, example: string): string | undefined {
  const url = env[name]?.trim();
  if (url === undefined || (/^https?:\/\/[^/]/.test(url) && URL.canParse(url))) return url;
  throw new ConfigError(`${name} is ${url.replace(/^.*@/s, '***@')}; it must be an address such as ${example}.`);
}

/** The error does not show the value, because it may contain a password. */
function databaseUrl({ DATABASE_URL: value }: NodeJS.ProcessEnv): string | undefined {
  const url = value?.trim();
  if (url === undefined || /^postgres(ql)?:\/\/./.test(url)) return url;
  throw new ConfigError('DATABASE_URL is not an address such as postgres://samvad:password@127.0.0.1:5432/samvad.');
}

function readKafka(env: NodeJS.ProcessEnv): KafkaConfig | undefined {
  if (env['KAFKA_BROKERS'] === undefined) return undefined;
  const brokers = env['KAFKA_BROKERS'].split(',').map((broker) => broker.trim());
  for (const broker of brokers)
    if (!/^[^\s/]+:\d{1,5}$/.test(broker))
      throw new ConfigError(
        `KAFKA_BROKERS is ${env['KAFKA_BROKERS']}; it must be host:port, or several, separated by commas.`,
      );
  const caFile = env['KAFKA_TLS_CA_FILE'];
  const tls = oneOf(env, 'KAFKA_TLS', ['true', 'false'], 'false') === 'true' || caFile !== undefined;
  return { brokers: brokers.join(','), ...(tls && { tls: caFile === undefined ? {} : { caFile } }), ...readSasl(env) };
}

/** Refuses incomplete credentials, which would connect without authentication. */
function readSasl(env: NodeJS.ProcessEnv): Pick<KafkaConfig, 'sasl'> {
  const [username, password] = [env['KAFKA_SASL_USERNAME'], env['KAFKA_SASL_PASSWORD']];
  if (username !== undefined && password !== undefined)
    return {
      sasl: {
        mechanism: oneOf(env, 'KAFKA_SASL_MECHANISM', ['plain', 'scram-sha-256', 'scram-sha-512'], 'scram-sha-512'),
        username,
        password,
      },
    };
  const [set] = Object.keys(env).filter((name) => name.startsWith('KAFKA_SASL_'));
  if (set === undefined) return {};
  const absent = username === undefined ? 'KAFKA_SASL_USERNAME' : 'KAFKA_SASL_PASSWORD';
  throw new ConfigError(`${set} is set and ${absent} is not; user and password belong together.`);
}

/** The file of Label Studio's settings in the current folder. Variables of the environment take precedence. */
const LABEL_STUDIO_FILE = '.env.labelstudio';

/** Adds the settings of `.env.labelstudio`, if it exists, to the environment. `LABEL_STUDIO_ENV_FILE` names another file. */
export function loadLabelStudioFile(env: NodeJS.ProcessEnv = process.env): void {
  const file = env['LABEL_STUDIO_ENV_FILE'] ?? LABEL_STUDIO_FILE;
  if (file === '' || !existsSync(file)) return;
  for (const [name, value] of Object.entries(parseEnv(readFileSync(file, 'utf8'))))
    if (name.startsWith('LABEL_STUDIO_') && value !== undefined && value !== '') env[name] ||= value;
}

function readLabelStudio(env: NodeJS.ProcessEnv): LabelStudioConfig | undefined {
  const url = httpAddress(env, 'LABEL_STUDIO_URL', 'http://127.0.0.1:8081');
  if (url === undefined) return undefined;
  const apiKey = env['LABEL_STUDIO_API_KEY'] ?? '';
  if (!/^[\x21-\x7e]+$/.test(apiKey))
    throw new ConfigError(
      'LABEL_STUDIO_URL is set and LABEL_STUDIO_API_KEY is not; it must be a token of Label Studio. Both may come from .env.labelstudio.',
    );
  const projectId = env['LABEL_STUDIO_PROJECT_ID'];
  const webhookSecret = env['LABEL_STUDIO_WEBHOOK_SECRET'];
  const webhookUrl = env['LABEL_STUDIO_WEBHOOK_URL'];
  if (webhookUrl !== undefined && webhookSecret === undefined)
    throw new ConfigError('LABEL_STUDIO_WEBHOOK_URL is set and LABEL_STUDIO_WEBHOOK_SECRET is not; set both or none.');
  return {
    url: url.endsWith('/') ? url : `${url}/`,
    apiKey,
    ...(projectId !== undefined && { projectId: positive(env, 'LABEL_STUDIO_PROJECT_ID', 0) }),
    openTasks: positive(env, 'LABEL_STUDIO_OPEN_TASKS', 200),
    syncSeconds: positive(env, 'LABEL_STUDIO_SYNC_SECONDS', 60),
    ...(webhookSecret !== undefined && { webhookSecret }),
    ...(webhookUrl !== undefined && { webhookUrl }),
  };
}

/** The variable holds either the lines or the name of a file with them. */
function apiTokens({ SAMVAD_API_TOKENS: value }: NodeJS.ProcessEnv): { readonly tokens?: string } {
  if (value === undefined) return {};
  if (value.includes('sha256:')) return { tokens: value };
  try {
    return { tokens: readFileSync(value, 'utf8') };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`SAMVAD_API_TOKENS names a file that can't be read: ${why}. It may also hold the lines.`);
  }
}

function cronPattern(env: NodeJS.ProcessEnv, name: string, fallback: string): string {
  const pattern = env[name] ?? fallback;
  try {
    new Cron(pattern, { paused: true });
    return pattern;
  } catch (cause) {
    throw new ConfigError(`${name} is ${pattern}; it must be a cron pattern such as ${fallback}.`, { cause });
  }
}

function oneOf<V extends string>(env: NodeJS.ProcessEnv, name: string, values: readonly V[], fallback: NoInfer<V>): V {
  const text = env[name] ?? fallback;
  const value = values.find((one) => one === text);
  if (value !== undefined) return value;
  const all = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(values);
  throw new ConfigError(`${name} is ${text}; it may be ${all}.`);
}

function integer(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const text = env[name];
  if (text === undefined) return fallback;
  if (!/^\d{1,15}$/.test(text)) throw new ConfigError(`${name} is ${text}; it must be a whole number.`);
  return Number(text);
}

function port(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const value = integer(env, name, fallback);
  if (value > 65_535) throw new ConfigError(`${name} is ${value}; it must be a port, at most 65535, or 0 for any.`);
  return value;
}

function positive(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const value = integer(env, name, fallback);
  if (value === 0) throw new ConfigError(`${name} is 0; it must be a whole number from 1.`);
  return value;
}
