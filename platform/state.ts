/** What a data folder remembers, and small things about files. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrorCode } from '../runtime/reason.ts';
import { replaceFile } from '../runtime/replace-file.ts';
import { PlatformError } from './platform-error.ts';
import { freePorts } from './ports.ts';

/** What a data folder remembers between starts (`<home>/platform.json`, readable by its owner only). */
export interface PlatformState {
  readonly kafkaPort: number;
  readonly kafkaControllerPort: number;
  readonly registryPort: number;
  readonly postgresPort: number;
  /** A KRaft cluster id: 16 bytes in URL-safe base64 without padding. */
  readonly kafkaClusterId: string;
  readonly postgresPassword: string;
}

function stateFile(home: string): string {
  return join(home, 'platform.json');
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65536;
}

function isState(value: unknown): value is PlatformState {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Partial<Record<keyof PlatformState, unknown>>;
  return (
    isPort(fields.kafkaPort) &&
    isPort(fields.kafkaControllerPort) &&
    isPort(fields.registryPort) &&
    isPort(fields.postgresPort) &&
    typeof fields.kafkaClusterId === 'string' &&
    typeof fields.postgresPassword === 'string'
  );
}

/** Reads the state of a data folder; undefined if servers never ran there. @throws PlatformError if the file is damaged. */
export async function readState(home: string): Promise<PlatformState | undefined> {
  const path = stateFile(home);
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  const value = parseJson(text);
  if (isState(value)) return value;
  throw new PlatformError(
    `${path} is not readable as the platform's state; restore it from a backup, or move ${home} away to start empty.`,
  );
}

/** Reads the state, or on the first start chooses ports, cluster id and password and writes them down. */
export async function readOrCreateState(home: string): Promise<PlatformState> {
  const known = await readState(home);
  if (known !== undefined) return known;
  const [kafkaPort, kafkaControllerPort, registryPort, postgresPort] = await freePorts(4);
  const state = {
    kafkaPort,
    kafkaControllerPort,
    registryPort,
    postgresPort,
    kafkaClusterId: randomClusterId(),
    postgresPassword: randomBytes(18).toString('base64url'),
  };
  if (!isState(state)) throw new PlatformError('No four free ports were found on 127.0.0.1.');
  await replaceFile(stateFile(home), `${JSON.stringify(state, null, 2)}\n`, 0o600);
  return state;
}

/** Like Kafka's Uuid.randomUuid: an id that starts with a dash would be taken for an option on the command line. */
function randomClusterId(): string {
  const id = randomBytes(16).toString('base64url');
  return id.startsWith('-') ? randomClusterId() : id;
}

/** The text of a file, or undefined if there is none. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (isErrorCode(cause, 'ENOENT')) return undefined;
    throw cause;
  }
}

/** Parses JSON, undefined if the text is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Creates `<home>/<name>` and returns its path. */
export async function folder(home: string, name: string): Promise<string> {
  const path = join(home, name);
  await mkdir(path, { recursive: true });
  return path;
}
