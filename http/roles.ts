/** The roles of the HTTP API and the pages (docs/security.md). */

/** What a caller may be allowed: `operate` includes `review` and `read`, `review` includes `read`. */
export const roles = ['ingest', 'review', 'operate', 'read'] as const;

/** One of the roles. */
export type Role = (typeof roles)[number];

/** Roles that another one brings with it. */
const INCLUDES: Readonly<Record<Role, readonly Role[]>> = {
  ingest: ['ingest'],
  read: ['read'],
  review: ['review', 'read'],
  operate: ['operate', 'review', 'read'],
};

/** Whether what `held` allows includes `wanted`. */
export function allows(held: readonly Role[], wanted: Role): boolean {
  return held.some((role) => INCLUDES[role].includes(wanted));
}
