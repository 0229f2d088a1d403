/** Who may do what. Each route names the role that it asks for, in `config.role`. */

/** What a caller may be allowed: `operate` includes `review` and `read`, `review` includes `read`. */
export const roles = ['ingest', 'review', 'operate', 'read'] as const;

/** One of the roles. */
export type Role = (typeof roles)[number];

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The role that a route asks for; one that names none asks for `operate`. */
    role?: Role | 'anyone';
  }
}
