/** The roles of the HTTP API and the pages (docs/security.md). */

/** The roles of a caller: `operate` includes `review` and `read`, `review` includes `read`. */
export const roles = ['ingest', 'review', 'operate', 'read'] as const;

/** One of the roles. */
export type Role = (typeof roles)[number];

/** The roles that another role includes. */
const INCLUDES: Readonly<Record<Role, readonly Role[]>> = {
  ingest: ['ingest'],
  read: ['read'],
  review: ['review', 'read'],
  operate: ['operate', 'review', 'read'],
};

/** Whether the roles `held` include `wanted`. */
export function allows(held: readonly Role[], wanted: Role): boolean {
  return held.some((role) => INCLUDES[role].includes(wanted));
}
