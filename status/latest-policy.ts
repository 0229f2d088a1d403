/** The policy in force for those who ask many times a second. */
import type { Pool } from 'pg';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { policyInForce } from './policy.ts';

/** How old an answer may be, in milliseconds. */
const MAX_AGE_MS = 1000;

/** Asks Postgres at most once a second; while it does not answer, the policy that was known last holds. */
export function latestPolicy(pool: Pick<Pool, 'query'>, now = () => performance.now()): () => Promise<RoutingPolicy> {
  let known: RoutingPolicy = defaultPolicy;
  let askedAt = -Infinity;
  let first: Promise<void> | undefined;
  return async () => {
    if (now() - askedAt >= MAX_AGE_MS) {
      askedAt = now();
      const asking = policyInForce(pool).then(
        ({ policy }) => void (known = policy),
        () => undefined,
      );
      first ??= asking;
    }
    await first; // later callers do not wait for Postgres
    return known;
  };
}
