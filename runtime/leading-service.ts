/** A service that may run in any number of copies, of which one leads. */
import type { Config } from '../config.ts';
import { leadInTurn } from './leader.ts';
import type { Service, ServiceContext } from './service.ts';
import { runSessions, untilAborted } from './sessions.ts';

/** The parts of such a service, whose consumer group elects the leader; `C` are the names of its counters. */
export interface LeadingService<C extends string> extends Omit<Service, 'start'> {
  /** A topic with one partition; its records are ignored. */
  readonly topic: string;
  readonly counters: readonly C[];
  /** Whether it has nothing to do under this configuration; then it only waits. */
  readonly idle?: (config: Config) => boolean;
  /** Grows with the work done (`runSessions`). */
  readonly progress: (stats: Readonly<Record<C, number>>) => number;
  /** Works until the signal is aborted and counts its work. An error that it throws ends the session. */
  readonly lead: (context: ServiceContext, signal: AbortSignal, stats: Record<C, number>) => Promise<void>;
}

/** The service as a value. Its stats also have `sessions` and, unless it is idle, `leading`, which is 1 while this copy leads. */
export function leadingService<C extends string>(service: LeadingService<C>): Service {
  const { name, does, access, topic, counters, idle = () => false, progress, lead } = service;
  return {
    name,
    does,
    access,
    start(context) {
      const works = !idle(context.config);
      const election = { ...(works && { leading: 0 }), sessions: 0 };
      const stats = Object.fromEntries(counters.map((counter) => [counter, 0])) as Record<C, number>;
      const background = runSessions({
        async session(stopping) {
          election.sessions++;
          if (!works) return untilAborted(stopping);
          await leadInTurn({
            kafka: context.kafka,
            groupId: name,
            topic,
            stopping,
            lead: (signal) => lead(context, signal, stats),
            onLeading: (leading) => (election.leading = Number(leading)),
          });
        },
        progress: () => progress(stats),
        log: context.log,
      });
      return { ...background, stats: () => ({ ...election, ...stats }) };
    },
  };
}
