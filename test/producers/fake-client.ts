import { EventEmitter } from 'node:events';
import rdkafka from 'node-rdkafka';
import { reportedError } from '../../runtime/rdkafka.ts';

const { ERR__PURGE_QUEUE, ERR_CLUSTER_AUTHORIZATION_FAILED, ERR_TOPIC_AUTHORIZATION_FAILED } = rdkafka.CODES.ERRORS;

/** A client of Kafka. The first one since `reset` reports no delivery until it is `answering`. */
export class FakeClient extends EventEmitter {
  static readonly made: FakeClient[] = [];
  /** Topics that the client's user may not write to. */
  static readonly forbidden = new Set<string>();
  /** Topics whose records get no delivery report. */
  static readonly silent = new Set<string>();
  /** Whether the clients' user may write to no topic: they get no producer id, which is fatal. */
  static barred = false;
  /** Topic and key of each acknowledged record. */
  static readonly taken: string[] = [];
  answering = FakeClient.made.length > 0;
  closed = false;
  readonly held: number[] = [];
  readonly #records = new Map<number, { readonly topic: string; readonly key: string }>();

  static reset(): void {
    FakeClient.made.length = 0;
    FakeClient.taken.length = 0;
    FakeClient.forbidden.clear();
    FakeClient.silent.clear();
    FakeClient.barred = false;
  }

  constructor() {
    super();
    FakeClient.made.push(this);
  }
  connect(_: unknown, done: (error: null) => void): void {
    setImmediate(() => done(null));
  }
  disconnect(done: () => void): void {
    this.closed = true;
    setImmediate(done);
  }
  isConnected(): boolean {
    return !this.closed;
  }
  produce(...[topic, , , key, , opaque]: readonly unknown[]): void {
    this.held.push(opaque as number);
    this.#records.set(opaque as number, { topic: topic as string, key: key as string });
  }
  poll(): void {
    if (FakeClient.barred) {
      for (const opaque of this.held.splice(0)) this.report(reportedError(ERR__PURGE_QUEUE), opaque);
      setImmediate(() => this.emit('event.error', reportedError(ERR_CLUSTER_AUTHORIZATION_FAILED)));
      return;
    }
    if (!this.answering) return;
    for (const opaque of this.held.splice(0)) {
      const { topic = '', key = '' } = this.#records.get(opaque) ?? {};
      if (FakeClient.silent.has(topic)) continue;
      const forbidden = FakeClient.forbidden.has(topic);
      if (!forbidden) FakeClient.taken.push(`${topic} ${key}`);
      this.report(forbidden ? reportedError(ERR_TOPIC_AUTHORIZATION_FAILED) : null, opaque);
    }
  }
  report(error: object | null, opaque: number): void {
    this.emit('delivery-report', error, { opaque });
  }
}
