/** Sign-in with a browser: the token becomes a cookie that scripts can't read and other sites can't use. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';
import { recognise } from './tokens.ts';
import type { ApiToken } from './tokens.ts';

const COOKIE = 'samvad_token';
const MAX_AGE_S = 30 * 24 * 60 * 60;
/** The most sign-ins per minute and address. */
const MAX_SIGN_INS = 20;

/** The tokens that the server accepts; empty when it is open to this machine. */
export interface SessionDeps {
  readonly tokens: readonly ApiToken[];
}

/** Adds `/v1/session`: the current session, sign-in and sign-out. */
export function sessionRoutes(app: FastifyInstance, { tokens }: SessionDeps): void {
  const tags = ['session'];
  const config = { role: 'anyone' } as const;
  app.get(
    '/v1/session',
    {
      config,
      schema: { tags, summary: 'The name and the roles of the caller, and whether the server requires a token' },
    },
    ({ caller }) => ({ needed: tokens.length > 0, name: caller?.name ?? null, roles: caller?.roles ?? [] }),
  );
  app.post<{ Body: { token: string } }>(
    '/v1/session',
    {
      config: { ...config, rateLimit: { max: MAX_SIGN_INS } },
      bodyLimit: 4096,
      schema: {
        tags,
        summary: 'Sign in: the token becomes a cookie of this browser',
        body: {
          type: 'object',
          required: ['token'],
          additionalProperties: false,
          properties: { token: { type: 'string', maxLength: 200 } },
        },
        response: refusals(400, 401, 429),
      },
    },
    (request, reply) => {
      const found = recognise(tokens, request.body.token.trim());
      if (!found) throw new HttpProblem(401, 'This server does not know that token.');
      setCookie(request, reply, request.body.token.trim(), MAX_AGE_S);
      return reply.send({ needed: true, name: found.name, roles: found.roles });
    },
  );
  app.delete('/v1/session', { config, schema: { tags, summary: 'Sign out' } }, (request, reply) => {
    setCookie(request, reply, '', 0);
    return reply.code(204).send();
  });
}

/** The token in the request's cookie. */
export function sessionToken({ headers: { cookie = '' } }: FastifyRequest): string | undefined {
  for (const pair of cookie.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === COOKIE) return pair.slice(at + 1).trim();
  }
  return undefined;
}

/** `Secure` if a TLS proxy in front says so; over plain HTTP the browser would not send such a cookie back. */
function setCookie({ headers }: FastifyRequest, reply: FastifyReply, value: string, maxAge: number): void {
  const secure = headers['x-forwarded-proto'] === 'https' ? '; Secure' : '';
  reply.header(
    'set-cookie',
    `${COOKIE}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${String(maxAge)}${secure}`,
  );
}
