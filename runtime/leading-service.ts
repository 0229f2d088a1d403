/** A service of which any number may run and one leads, with its counters. */
import type { Config } from '../config.ts';
import { leadInTurn } from './leader.ts';
import type { Access, Service, ServiceContext } from './service.ts';
import { runSessions, untilAborted } from './sessions.ts';

/** What such a service is made of; `C` names what it counts. */
export interface LeadingService<C extends string> {
  /** Also its consumer group, with which the leader is chosen. */
  readonly name: string;
  readonly does: string;
  readonly access: Access;
  /** A topic with one partition; its records are not looked at. */
  readonly topic: string;
  readonly counters: readonly C[];
  /** Whether there is nothing to do as it is configured: then it leads nothing and waits. */
  readonly idle?: (config: Config) => boolean;
  /** What must grow with the work done (`runSessions`). */
  readonly progress: (stats: Readonly<Record<C, number>>) => number;
  /** Works until the signal, and counts what it did. What it throws ends the session. */
  readonly lead: (context: ServiceContext, signal: AbortSignal, stats: Record<C, number>) => Promise<void>;
}

/** The service as a value. Besides its own counters its stats have `sessions`, and unless it is idle `leading`, 1 when this copy is at work. */
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
