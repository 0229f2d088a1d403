/** How bodies of JSON are read. */
import type { FastifyInstance } from 'fastify';
import { HttpProblem } from './problem.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads `application/json` for the routes of `app`, and refuses bytes that are not UTF-8: Fastify would put U+FFFD in their place, so that
 * two ids could become one. `poisoning` says what becomes of a field that could pass for an object's prototype: the body is refused, or the
 * field is left to routes that refuse each field which they do not know, by its name.
 */
export function readJson(app: FastifyInstance, poisoning: 'error' | 'ignore'): void {
  const parse = app.getDefaultJsonParser(poisoning, poisoning);
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    void parse(request, textOf(body), done); // tells done
  });
}

function textOf(body: Buffer): string {
  try {
    return decoder.decode(body);
  } catch {
    throw new HttpProblem(400, 'The body is not UTF-8, in which JSON is sent.', { type: 'invalid-request' });
  }
}
