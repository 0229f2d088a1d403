/** Requests to Label Studio: both kinds of tokens, time-outs, and two kinds of failure. */
import type { LabelStudioConfig } from '../config.ts';
import { reasonOf } from '../runtime/reason.ts';

/** Label Studio could not do what was asked. */
export class LabelStudioError extends Error {}

/**
 * Label Studio does not answer, or not at present; the same request may succeed later. It is unknown whether this one
 * took effect.
 */
export class LabelStudioUnavailable extends LabelStudioError {}

/** Label Studio refused: a setting, a token or a project is wrong. `status` is the HTTP status. */
export class LabelStudioRefused extends LabelStudioError {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** Sends JSON and returns the JSON answer; undefined for an answer without content. */
export type Send = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown) => Promise<unknown>;

/** A page of tasks takes seconds on a busy server with SQLite. */
const TIMEOUT_MS = 60_000;
/** Renews an access token after this share of its life, measured by the local clock only. */
const RENEW_AT = 0.8;
const SHORTEST_LIFE_MS = 10_000;

/** Prepares requests to a server; sends nothing yet. `now` is a monotonic clock in milliseconds. */
export function connectHttp(
  config: Pick<LabelStudioConfig, 'url' | 'apiKey'>,
  timeoutMs = TIMEOUT_MS,
  now: () => number = () => performance.now(),
): Send {
  const call = (method: string, path: string, authorization: string | undefined, body: unknown) =>
    fetch(new URL(path, config.url), {
      method,
      headers: {
        accept: 'application/json',
        ...(authorization !== undefined && { authorization }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'manual', // a redirect would carry the token elsewhere, or turn a POST into a GET
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((cause: unknown) => {
      throw new LabelStudioUnavailable(`Label Studio at ${config.url} does not answer: ${reasonOf(cause)}.`, { cause });
    });
  const token = isPersonalAccessToken(config.apiKey)
    ? accessTokens(config.apiKey, (body) => call('POST', 'api/token/refresh/', undefined, body).then(jsonOf), now)
    : { current: () => Promise.resolve(`Token ${config.apiKey}`), forget: () => false };
  return async (method, path, body) => {
    const response = await call(method, path, await token.current(), body);
    // An access token may become invalid early, when the server restarted with another key.
    const what = `${method} ${path.split('?')[0] ?? ''}`;
    if (response.status === 401 && token.forget())
      return jsonOf(await call(method, path, await token.current(), body), what);
    return jsonOf(response, what);
  };
}

/** A personal access token is a JWT; a legacy token is 40 hexadecimal digits. */
export function isPersonalAccessToken(apiKey: string): boolean {
  return claimsOf(apiKey) !== undefined;
}

/** A personal access token can only be exchanged for an access token, which is valid for minutes. */
function accessTokens(refresh: string, ask: (body: object) => Promise<unknown>, now: () => number) {
  let access: { readonly authorization: string; readonly until: number } | undefined;
  return {
    async current(): Promise<string> {
      if (access && now() < access.until) return access.authorization;
      const answer = (await ask({ refresh })) as { readonly access?: unknown } | undefined;
      if (typeof answer?.access !== 'string')
        throw new LabelStudioRefused('Label Studio gave no access token for LABEL_STUDIO_API_KEY.', 200);
      const { exp = 0, iat = 0 } = claimsOf(answer.access) ?? {};
      const life = Math.max((exp - iat) * 1000, SHORTEST_LIFE_MS) * RENEW_AT;
      access = { authorization: `Bearer ${answer.access}`, until: now() + life };
      return access.authorization;
    },
    /** Forgets the token. Returns whether there was one. */
    forget(): boolean {
      const had = access !== undefined;
      access = undefined;
      return had;
    },
  };
}

/** The claims of a JWT, not verified; times in seconds since 1970. */
function claimsOf(token: string): { readonly exp?: number; readonly iat?: number } | undefined {
  const [, payload, signature] = token.split('.');
  if (payload === undefined || signature === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
  } catch {
    return undefined;
  }
}

async function jsonOf(response: Response, what = 'asking for an access token'): Promise<unknown> {
  const { status } = response;
  const text = await response.text().catch((cause: unknown) => {
    throw new LabelStudioUnavailable(`Label Studio interrupted its answer to ${what}: ${reasonOf(cause)}.`, { cause });
  });
  if (status === 408 || status === 429 || status >= 500)
    throw new LabelStudioUnavailable(`Label Studio answers ${what} with ${status}: ${shorten(text)}`);
  if (!response.ok) throw new LabelStudioRefused(`${WHY[status] ?? `It says: ${shorten(text)}`} (${what})`, status);
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const where = 'Is there a proxy or another service at LABEL_STUDIO_URL?';
    throw new LabelStudioUnavailable(`Label Studio's answer to ${what} is not JSON: ${shorten(text)} ${where}`, {
      cause,
    });
  }
}

const MOVED = 'LABEL_STUDIO_URL redirects to another address; set that address instead.';
const WHY: Readonly<Record<number, string>> = {
  401:
    'Label Studio does not take the token in LABEL_STUDIO_API_KEY. Take a personal access token from its page Account & ' +
    'Settings; a legacy token works only where the organisation allows those.',
  403: "The user of LABEL_STUDIO_API_KEY may not do this in Label Studio's project.",
  301: MOVED,
  302: MOVED,
  307: MOVED,
  308: MOVED,
};

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
