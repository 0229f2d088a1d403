/** Parses JSON bodies, and refuses encoded ones. */
import type { FastifyInstance } from 'fastify';
import { HttpProblem, shorten } from './problem.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses `application/json` for the routes of `app`, and refuses bytes that are not UTF-8: Fastify would replace them
 * with U+FFFD, so that two ids could become equal. `poisoning` decides about a field that could act as an object's
 * prototype: refuse the body, or leave it to routes that refuse every unknown field by name.
 */
export function readJson(app: FastifyInstance, poisoning: 'error' | 'ignore'): void {
  const parse = app.getDefaultJsonParser(poisoning, poisoning);
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    void parse(request, textOf(body), done); // calls done
  });
}

/** Refuses compressed bodies, which no parser of this server reads. */
export function refuseEncoded(app: FastifyInstance): void {
  app.addHook('preParsing', async (request, reply) => {
    const encoding = request.headers['content-encoding'];
    if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
    reply.header('accept-encoding', 'identity');
    const detail = `The server does not read Content-Encoding: ${shorten(encoding)}; send the body as it is, without that header.`;
    throw new HttpProblem(415, detail);
  });
}

function textOf(body: Buffer): string {
  try {
    return decoder.decode(body);
  } catch {
    throw new HttpProblem(400, 'The body is not UTF-8, as JSON must be.', { type: 'invalid-request' });
  }
}
