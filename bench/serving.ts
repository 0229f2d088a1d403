/**
 * `npm run bench:serving`: latency and throughput of `POST /v1/classify` with a model of the size of clinc150 (151 intents), and
 * how soon it follows a rollback. It starts its own servers; the client runs in the same process as the HTTP server.
 */
import { startComponents } from '../app/components.ts';
import { artifactsOf } from '../app/environment.ts';
import { startHttp } from '../app/http.ts';
import { columns } from '../app/terminal.ts';
import { blankStanding, register, rollBack, setTraffic } from '../policy/model-log.ts';
import { startStack } from '../test/integration/stack.ts';
import { makeModelFile } from '../trainer/learning/model-file.ts';
import { trainInWorker } from '../trainer/learning/train-worker.ts';
import { openModelLog } from '../trainer/model-log.ts';
import { tasks } from './accuracy-tasks.ts';

const SINGLE = 1000;
const BATCHES = 10;
const BATCH = 1000;
const ROLLBACKS = 10;
/** The figures do not depend on how long a model was trained. */
const EPOCHS = 1;

const part = tasks.find(({ name }) => name === 'clinc150')?.parts(1)[0];
if (!part) throw new Error('There is no task clinc150.');
const texts = part.test.map(({ text }) => text);
const stack = await startStack();
const { prepared } = stack;
const components = await startComponents([], prepared);
const http = await startHttp(
  { ...prepared, config: { ...prepared.config, http: { ...prepared.config.http, port: 0 } } },
  components,
);
const log = await openModelLog(prepared.servers.kafka, prepared.codecs);
const [first, second] = ['router-v1.1.0', 'router-v1.2.0'] as const;

try {
  const sizes = [await add(first, 1), await add(second, 2)];
  await log.append((now) => ({ models: setTraffic(now, first, 100, act()) }));
  await untilBy(first);

  const times: number[] = [];
  for (let i = 0; i < SINGLE; i++) {
    const start = performance.now();
    await classify({ text: texts[i % texts.length], language: 'en', conversation_id: `c-${String(i)}` });
    times.push(performance.now() - start);
  }
  const batches: number[] = [];
  for (let i = 0; i < BATCHES; i++) {
    const batch = Array.from({ length: BATCH }, (_, k) => ({ text: texts[(i * BATCH + k) % texts.length] }));
    const start = performance.now();
    await classify(batch);
    batches.push((1000 * BATCH) / (performance.now() - start));
  }
  const rollbacks: number[] = [];
  for (let i = 0; i < ROLLBACKS; i++) {
    await log.append((now) => ({ models: setTraffic(now, second, 100, act()) }));
    await untilBy(second);
    const start = performance.now();
    await log.append((now) => ({ models: rollBack(now, second, act()) }));
    await untilBy(first);
    rollbacks.push(performance.now() - start);
  }
  process.stdout.write(
    `${columns([
      ['what', 'p50', 'worst tenth from', 'worst', 'aim'],
      ['model file, MB', ...spread(sizes, 1), 'at most 40'],
      ['one text, ms', ...spread(times, 2), 'p50 at most 3'],
      [`texts a second, ${String(BATCH)} at once`, ...spread(batches, 0, true), 'at least 2000'],
      ['rollback asked for to first answer by the version before, ms', ...spread(rollbacks, 0), 'below 1000'],
    ])}\n`,
  );
} finally {
  await log.close();
  await http.stop();
  await components.stop();
  await stack.stop();
}
process.exit(0); // native clients may keep the loop alive after they were closed

function act() {
  return { by: 'bench', reason: 'bench', at: Date.now() };
}

/** Trains and registers a version. Returns the size of its file in MB. */
async function add(version: string, seed: number): Promise<number> {
  if (!part) return 0;
  const outcome = await trainInWorker({ train: part.train, dev: part.dev, options: { seed, epochs: EPOCHS } });
  const bytes = await makeModelFile(outcome, { manifest: null, parent: null }, part.dev);
  const artifact_sha256 = await artifactsOf(prepared.config).put(bytes);
  await log.append((now) => ({
    models: register(now, version, { ...blankStanding(Date.now()), artifact_sha256 }, act()),
  }));
  return bytes.length / 1e6;
}

async function classify(body: unknown): Promise<unknown> {
  const response = await fetch(`${http.url}/v1/classify`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return response.json();
}

async function untilBy(version: string): Promise<void> {
  for (;;) {
    const { version: by } = (await classify({ text: 'where is my order' })) as { version?: string };
    if (by === version) return;
  }
}

/** Median, the edge of the worst tenth, and the worst. */
function spread(values: readonly number[], digits: number, highIsGood = false): readonly string[] {
  const sorted = [...values].sort((a, b) => (highIsGood ? b - a : a - b));
  return [0.5, 0.9, 1].map((share) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN).toFixed(digits),
  );
}
