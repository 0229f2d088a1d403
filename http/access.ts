/** Access control: each route names the role it requires in `config.role`, and an early hook enforces it. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HttpProblem } from './problem.ts';
import { allows, roles } from './roles.ts';
import type { Role } from './roles.ts';
import { sessionToken } from './session.ts';
import { recognise } from './tokens.ts';
import type { ApiToken } from './tokens.ts';

/** The caller of a request. */
export interface Caller {
  /** The name of the token, which the log records for the caller's actions; null when no token is needed. */
  readonly name: string | null;
  readonly roles: readonly Role[];
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The role that a route requires; `operate` when it names none. */
    role?: Role | 'anyone';
  }
  interface FastifyRequest {
    /** The caller; null for a request without token to a route for `anyone`. */
    caller: Caller | null;
  }
}

/** Every caller of a server without tokens, which listens on loopback only. */
const LOCAL: Caller = { name: null, roles };

/**
 * The only reviewer name that the caller may use; undefined without tokens, and for callers that send other people's
 * answers.
 */
export function ownNameOnly(caller: Caller | null): string | undefined {
  if (caller?.name == null || allows(caller.roles, 'ingest') || allows(caller.roles, 'operate')) return undefined;
  return caller.name;
}

/** Whether a server that listens on `host` can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);
}

/**
 * Guards every route of `app`, including routes added later. Without tokens, the server is open to this machine and
 * refuses what a web page of another site could make a browser send: a foreign Host (DNS rebinding) or Origin. With
 * tokens, a caller presents one as `Authorization: Bearer …` or as the cookie of the sign-in page. A foreign page can't
 * set the header, and without it is refused in both cases.
 */
export function guardRoutes(app: FastifyInstance, tokens: readonly ApiToken[]): void {
  app.decorateRequest('caller', null);
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization === undefined) refuseForeignPage(request);
    if (tokens.length === 0) {
      refuseForeignHost(request);
      request.caller = LOCAL;
      return;
    }
    const role = request.routeOptions.config.role ?? 'operate';
    request.caller = callerOf(request, tokens);
    if (role === 'anyone' || request.is404) return;
    if (request.caller === null) return askForToken(request, reply);
    if (!allows(request.caller.roles, role)) {
      const detail = `${what(request)} requires the role ${role}; the token ${String(request.caller.name)} has ${request.caller.roles.join(', ')}.`;
      throw new HttpProblem(403, detail);
    }
  });
}

function callerOf(request: FastifyRequest, tokens: readonly ApiToken[]): Caller | null {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const bearer = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
    return bearer === undefined ? null : (recognise(tokens, bearer) ?? null);
  }
  const cookie = sessionToken(request);
  return cookie === undefined ? null : (recognise(tokens, cookie) ?? null);
}

/** Redirects a browser that opens a page to the sign-in; tells every other caller what is missing. */
function askForToken(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const opensPage = request.method === 'GET' && /^text\/html/.test(request.headers.accept ?? '');
  if (opensPage) return reply.redirect(`/sign-in?to=${encodeURIComponent(request.url)}`, 303);
  reply.header('www-authenticate', 'Bearer realm="samvad"');
  const why = request.headers.authorization === undefined ? 'requires a token' : 'does not know this token';
  throw new HttpProblem(401, `${what(request)} ${why}; send one as Authorization: Bearer TOKEN.`);
}

function refuseForeignHost({ headers: { host = '' } }: FastifyRequest): void {
  if (isLoopback(addressOf(`http://${host}`)?.hostname ?? '')) return;
  const detail =
    'This server has no tokens and can only be reached under the names of this machine (localhost, 127.0.0.1); ' +
    'set SAMVAD_API_TOKENS to use another name.';
  throw new HttpProblem(403, detail);
}

/**
 * Refuses requests that a browser sends on behalf of a foreign page, including one on another port of this machine.
 * Other clients send neither header. A foreign link may open a page, because that only reads.
 */
function refuseForeignPage({ method, headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  const { origin, host } = headers;
  const own =
    site === undefined
      ? origin === undefined || addressOf(origin)?.host === host
      : site === 'same-origin' || site === 'none';
  const opensPage = method === 'GET' && headers['sec-fetch-mode'] === 'navigate';
  if (!own && !opensPage) throw new HttpProblem(403, 'The request came from a page of another site.');
}

function addressOf(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function what({ method, routeOptions }: FastifyRequest): string {
  return `${method} ${routeOptions.url ?? ''}`;
}
