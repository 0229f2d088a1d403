/** Answers to what is not a proper HTTP request, as problem details; those of Node have no body. */
import { maxHeaderSize, STATUS_CODES } from 'node:http';
import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { documentOf, HttpProblem, PROBLEM_JSON } from './problem.ts';

/** `code` and, from the parser, `reason`. */
type ClientError = Error & { readonly code?: string; readonly reason?: string };

/** Answers requests that can't be parsed, did not arrive in time, or expect what is not supported. */
export function explainMalformed(server: Server): void {
  const underWay = new WeakMap<Duplex, Set<ServerResponse>>();
  server.on('request', ({ socket }, response) => {
    const responses = underWay.get(socket) ?? new Set();
    underWay.set(socket, responses.add(response));
    response.once('close', () => responses.delete(response));
  });
  server.on('clientError', (error: ClientError, socket) => {
    // In the middle of another answer, these bytes would become part of it.
    const answering = [...(underWay.get(socket) ?? [])].some(({ headersSent }) => headersSent);
    if (error.code === 'ECONNRESET' || !socket.writable || answering) socket.destroy();
    else socket.end(answerTo(malformation(error)), () => socket.destroy());
  });
  server.on('checkExpectation', ({ headers: { expect } }, response) => {
    refuse(response, new HttpProblem(417, `The server does not support Expect: ${String(expect)}; leave it out.`));
  });
}

/** `listener` for requests that name their host, as HTTP/1.1 demands; Node's own check has no body in its answer. */
export function withHost(listener: RequestListener): RequestListener {
  return (request, response) => {
    if (request.headers.host !== undefined || request.httpVersion !== '1.1') listener(request, response);
    else refuse(response, new HttpProblem(400, 'The request has no header Host, which HTTP/1.1 requires.'));
  };
}

function malformation({ code, reason }: ClientError): HttpProblem {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new HttpProblem(431, `The address and the headers have more than ${maxHeaderSize} bytes.`);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new HttpProblem(413, 'The extensions of the chunks are too long; leave them out.');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpProblem(408, 'The request did not arrive in time.');
    default:
      return new HttpProblem(400, `The request is not valid HTTP${reason === undefined ? '' : `: ${reason}`}.`);
  }
}

function answerTo(problem: HttpProblem): string {
  const body = JSON.stringify(documentOf(problem));
  return [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    `Content-Type: ${PROBLEM_JSON}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function refuse(response: ServerResponse, problem: HttpProblem): void {
  response
    .writeHead(problem.status, { 'content-type': PROBLEM_JSON, connection: 'close' })
    .end(JSON.stringify(documentOf(problem)));
}
