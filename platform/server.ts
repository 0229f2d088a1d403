/** What the three kinds of server have in common. */
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

/** Everything needed to spawn one server process. `env` is added to the parent's environment. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly account?: Account;
}

/** What `prepare` may use. `home` and `cache` are absolute. */
export interface ServerContext {
  readonly home: string;
  readonly cache: string;
  readonly state: PlatformState;
  readonly progress: (message: string) => void;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** One kind of server as a value: how to prepare, launch and probe it. Its life cycle is in lifecycle.ts. */
export interface Server {
  readonly name: ServerName;
  readonly title: string;
  /** The signal of an orderly stop. */
  readonly stopSignal: NodeJS.Signals;
  /** A log line of a start that failed only because a killed predecessor is not quite gone; such a start is tried again. */
  readonly retryWhenLogged?: string;
  /** Every port it listens on, the one of `address` first. */
  readonly ports: (state: PlatformState) => readonly [number, ...number[]];
  /** What a client needs to connect: a broker list or a URL. */
  readonly address: (state: PlatformState) => string;
  /** Brings programs, configuration and data folder into place; harmless to repeat. @throws PlatformError */
  readonly prepare: (context: ServerContext) => Promise<Launch>;
  /** Resolves if the server answers real requests now, rejects if not. */
  readonly probe: (state: PlatformState) => Promise<void>;
}
