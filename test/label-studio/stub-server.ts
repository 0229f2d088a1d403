/** A stub of Label Studio with faults: answers get lost or come late, or a request is carried out twice. */
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { labelsOf } from '../../label-studio/labelling-config.ts';

/** What goes wrong with a request. */
export type Fault =
  /** The connection breaks before anything is done. */
  | 'lose-request'
  /** It is done, and the connection breaks before the answer. */
  | 'lose-answer'
  /** It is done some time after the connection broke. */
  | 'do-later'
  /** It is done twice. */
  | 'repeat'
  | 'unavailable'
  /** It is refused with status 400. */
  | 'refuse';

interface StubAnnotation {
  id: number;
  completed_by: number;
  was_cancelled: boolean;
  updated_at: string;
  lead_time: number;
  result: unknown[];
}

/** A task of the stub. */
export interface StubTask {
  readonly id: number;
  readonly project: number;
  readonly data: Record<string, unknown>;
  readonly predictions: readonly unknown[];
  updated_at: string;
  annotations: StubAnnotation[];
  draft_exists: boolean;
}

/** The stub, its data and its faults. */
export interface StubServer {
  readonly url: string;
  readonly tasks: Map<number, StubTask>;
  readonly projects: { id: number; title: string; description?: string; label_config: string; model_version: string }[];
  readonly requests: string[];
  /** Called before each request; undefined lets it succeed. */
  fault: (method: string, path: string) => Fault | undefined;
  /** Resets it to a new installation: empty, with numbers from 1. */
  startOver(): void;
  answer(task: StubTask, label: readonly [string, string] | undefined): void;
  /** Resolves when all delayed requests are done. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a stub on a free port. It accepts the legacy token `legacy` and the newest access token that it has handed out. */
export async function startStub({ lifeSeconds = 300 } = {}): Promise<StubServer> {
  const tasks = new Map<number, StubTask>();
  const projects: StubServer['projects'] = [];
  const requests: string[] = [];
  let [lastId, clock, accessTokens] = [0, Date.UTC(2026, 10, 25), 0];
  const now = () => new Date((clock += 1000)).toISOString().replace('Z', '000Z');
  const late: Promise<unknown>[] = [];

  function handle(method: string, url: URL, body: unknown): unknown {
    const route = `${method} ${url.pathname}`;
    const project = projects.find(({ id }) => url.pathname.startsWith(`/api/projects/${id}/`));
    if (route === 'GET /api/projects/') return { results: projects.map(described) };
    if (route === 'POST /api/projects/') {
      const created = { id: ++lastId, title: '', label_config: '', model_version: '', ...(body as object) };
      projects.push(created);
      return described(created);
    }
    if (project && route.endsWith('/import')) {
      return {
        task_ids: (body as StubTask[]).map(({ data, predictions }) => {
          const id = ++lastId;
          tasks.set(id, {
            id,
            project: project.id,
            data,
            predictions,
            updated_at: now(),
            annotations: [],
            draft_exists: false,
          });
          return id;
        }),
      };
    }
    if (project && method === 'PATCH') return described(Object.assign(project, body));
    if (project) return described(project);
    if (route === 'GET /api/tasks' && !projects.some(({ id }) => String(id) === url.searchParams.get('project')))
      return undefined;
    if (route === 'GET /api/tasks') return { tasks: listed(url.searchParams) };
    if (route === 'POST /api/dm/actions') {
      const { selectedItems, filters } = body as { selectedItems: { included: number[] }; filters?: object };
      const touched = (id: number) => tasks.get(id)?.draft_exists === true || tasks.get(id)?.annotations.length !== 0;
      for (const id of selectedItems.included) if (!filters || !touched(id)) tasks.delete(id);
      return {};
    }
    if (route === 'GET /api/users/') return [{ id: 3, email: 'ravi@example.test' }];
    if (route === 'GET /api/webhooks/') return [];
    if (route === 'POST /api/webhooks/') return {};
    return undefined;
  }

  function listed(parameters: URLSearchParams): StubTask[] {
    const { filters, selectedItems } = JSON.parse(parameters.get('query') ?? '{}') as {
      filters: { items: { filter: string; value: number | string }[] };
      selectedItems?: { included: number[] };
    };
    const value = (name: string) => filters.items.find(({ filter }) => filter === `filter:tasks:${name}`)?.value;
    const changedAfter = value('updated_at');
    return [...tasks.values()]
      .filter(({ project }) => project === Number(parameters.get('project')))
      .filter(({ id }) => id > Number(value('id')))
      .filter(({ id }) => selectedItems?.included.includes(id) ?? true)
      .filter(
        ({ updated_at }) => changedAfter === undefined || Date.parse(updated_at) > Date.parse(String(changedAfter)),
      )
      .slice(0, Number(parameters.get('page_size')));
  }

  const server = createServer((request, response) => {
    void (async () => {
      const body = await bodyOf(request);
      const url = new URL(request.url ?? '/', 'http://stub');
      const method = request.method ?? 'GET';
      requests.push(`${method} ${url.pathname}`);
      const reply = (status: number, answer: unknown) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(answer));
      };
      if (url.pathname === '/api/token/refresh/') {
        const seconds = Math.floor(Date.now() / 1000);
        return reply(200, { access: jwt({ n: ++accessTokens, iat: seconds, exp: seconds + lifeSeconds }) });
      }
      const { authorization = '' } = request.headers;
      const given = authorization.startsWith('Bearer ') ? claims(authorization.slice(7))?.n : undefined;
      if (authorization !== 'Token legacy' && given !== accessTokens) return reply(401, { detail: 'no' });
      const fault = stub.fault(method, url.pathname);
      if (fault === 'refuse') return reply(400, { url: ['Enter a valid URL.'] });
      if (fault === 'unavailable') return reply(503, { detail: 'database is locked' });
      if (fault === 'do-later') {
        late.push(sleep(50).then(() => handle(method, url, body)));
        return void request.socket.destroy();
      }
      if (fault === 'lose-request') return void request.socket.destroy();
      if (fault === 'repeat') handle(method, url, structuredClone(body));
      const answer = handle(method, url, body);
      if (fault === 'lose-answer') return void request.socket.destroy();
      return reply(answer === undefined ? 404 : 200, answer ?? { detail: 'Not found.' });
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stub: StubServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    ...{ tasks, projects, requests },
    fault: () => undefined,
    startOver() {
      tasks.clear();
      projects.length = 0;
      lastId = 0;
    },
    answer(task, label) {
      const result =
        label === undefined
          ? []
          : [{ from_name: 'label', to_name: 'message', type: 'taxonomy', value: { taxonomy: [label] } }];
      const before = task.annotations[0];
      const fields = { completed_by: 3, was_cancelled: label === undefined, updated_at: now(), lead_time: 2, result };
      task.annotations = [{ ...fields, id: before?.id ?? ++lastId }];
      task.updated_at = now();
    },
    async settled() {
      await Promise.all(late);
    },
    async close() {
      await Promise.all(late);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return stub;
}

function described(project: StubServer['projects'][number]): object {
  const labels = labelsOf(project.label_config);
  return {
    ...project,
    parsed_label_config: labels.size === 0 ? {} : { label: { type: 'Taxonomy', to_name: ['message'] } },
  };
}

/** A JSON web token with a dummy signature, which nothing here checks. */
export function jwt(payload: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part(payload)}.c2lnbmF0dXJl`;
}

function claims(token: string): { readonly n?: number } | undefined {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { n?: number };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? undefined : JSON.parse(text);
}
