/** API tokens: creation, storage as a digest, and recognition. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { ConfigError } from '../config.ts';
import { roles } from './roles.ts';
import type { Role } from './roles.ts';

/** A token as stored on the server: its name and roles, and a digest instead of the token. */
export interface ApiToken {
  readonly name: string;
  readonly roles: readonly Role[];
  /** SHA-256 of the token, 32 bytes. */
  readonly sha256: Buffer;
}

/** Valid names of tokens. The name is the reviewer in the log, and must be readable in a table. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,63}$/u;
const PREFIX = 'smv_';

/**
 * Creates a token and the configuration line for the server. The token has 256 random bits, so a single SHA-256 is
 * enough to hide it.
 */
export function newToken(name: string, allowed: readonly string[]): { readonly token: string; readonly line: string } {
  const token = PREFIX + randomBytes(32).toString('base64url');
  const line = `${name} ${allowed.join(',')} sha256:${digest(token).toString('hex')}`;
  parseTokens(line);
  return { token, line };
}

/**
 * Parses lines of `NAME ROLES sha256:HEX` with comma-separated roles; `#` begins a comment.
 * @throws ConfigError naming the line and its problem, never the digest.
 */
export function parseTokens(text: string): readonly ApiToken[] {
  const tokens: ApiToken[] = [];
  for (const [i, line] of text.split(/[\n;]/).entries()) {
    const content = line.replace(/#.*/, '').trim();
    if (content === '') continue;
    const refuse = (why: string) => new ConfigError(`SAMVAD_API_TOKENS, line ${String(i + 1)}: ${why}`);
    const [name = '', allowed = '', hash = '', ...rest] = content.split(/\s+/);
    const hex = /^sha256:([0-9a-f]{64})$/i.exec(hash)?.[1];
    if (hex === undefined || rest.length > 0)
      throw refuse('it must be NAME ROLES sha256:HEX, as `samvad token new` prints it.');
    if (!NAME.test(name))
      throw refuse(
        `the name ${name} is not valid: at most 64 letters, digits and . _ @ + -, starting with a letter or digit.`,
      );
    const unknown = allowed.split(',').find((role) => !(roles as readonly string[]).includes(role));
    if (unknown !== undefined) throw refuse(`there is no role ${unknown}; the roles are ${roles.join(', ')}.`);
    if (tokens.some((token) => token.name === name))
      throw refuse(`there are two tokens of ${name}; give each its own name.`);
    tokens.push({ name, roles: allowed.split(',') as Role[], sha256: Buffer.from(hex, 'hex') });
  }
  if (tokens.length === 0)
    throw new ConfigError('SAMVAD_API_TOKENS holds no token; make one with `samvad token new NAME ROLES`.');
  return tokens;
}

/** The entry of a presented token. All entries are compared in constant time, so that the time reveals nothing. */
export function recognise(known: readonly ApiToken[], presented: string): ApiToken | undefined {
  const sha256 = digest(presented);
  let found: ApiToken | undefined;
  for (const token of known) if (timingSafeEqual(token.sha256, sha256)) found = token;
  return found;
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
