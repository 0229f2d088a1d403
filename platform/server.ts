/** The common interface of the three servers. */
import type { PlatformState } from './state.ts';

/** In the order in which servers stop: the registry first, since nothing else depends on it. */
export const serverNames = ['registry', 'kafka', 'postgres'] as const;
/** One of the three servers. */
export type ServerName = (typeof serverNames)[number];

/** The account that a child process runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** How to spawn a server process. `env` is added to the parent's environment. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly account?: Account;
}

/** Input of `prepare`. `home` and `cache` are absolute paths. */
export interface ServerContext {
  readonly home: string;
  readonly cache: string;
  readonly state: PlatformState;
  readonly progress: (message: string) => void;
  /** Aborts a start. */
  readonly signal?: AbortSignal | undefined;
}

/** One kind of server as a value: how to prepare, launch and probe it. lifecycle.ts runs it. */
export interface Server {
  readonly name: ServerName;
  readonly title: string;
  /** The signal of an orderly stop. */
  readonly stopSignal: NodeJS.Signals;
  /** A log line of a start that failed because a killed predecessor is still ending; such a start is retried. */
  readonly retryWhenLogged?: string;
  /** Every port it listens on, the one of `address` first. */
  readonly ports: (state: PlatformState) => readonly [number, ...number[]];
  /** The address for clients: a broker list or a URL. */
  readonly address: (state: PlatformState) => string;
  /** Provides programs, configuration and data folder. Idempotent. @throws PlatformError */
  readonly prepare: (context: ServerContext) => Promise<Launch>;
  /** Resolves when the server answers requests, otherwise rejects. */
  readonly probe: (state: PlatformState) => Promise<void>;
}
