/**
 * `npm run bench:day`: 24 hours of simulated traffic, a million conversations by default, as fast as the pipeline processes
 * them. Each processor and service has its own process; the projections share one. People review, the trainer trains, better
 * versions get traffic step by step, a bad version gets traffic by hand and must be rolled back, and tables are rebuilt during
 * the traffic. At the end it checks the invariants, and exits with 1 if one does not hold.
 *
 * `npm run bench:day -- --conversations 24000 --threshold 5000 --answers 400` is a short day.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { producerOptions } from '../app/environment.ts';
import { untilCaughtUp } from '../app/lag.ts';
import { startServing } from '../app/serving.ts';
import { columns } from '../app/terminal.ts';
import { processors, projections } from '../pipeline.ts';
import { deploymentOf, ModelLogRefused, rollBack, setTraffic } from '../policy/model-log.ts';
import { percent } from '../policy/percent.ts';
import { lastAsked, offsetsOf, openRuns } from '../policy/training-run.ts';
import { dueRuns } from '../policy/trigger.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import { readTopic, topicEnds } from '../runtime/read-topic.ts';
import { digestTable } from '../runtime/rebuild.ts';
import { simulate } from '../simulation/simulate.ts';
import type { Round } from '../simulation/simulate.ts';
import { startStack } from '../test/integration/stack.ts';
import type { Stack } from '../test/integration/stack.ts';
import { DATA_SET, topics } from '../topology.ts';
import { readCorpus } from '../trainer/data-set/corpus.ts';
import { labelName } from '../trainer/learning/classifier.ts';
import type { Sample } from '../trainer/learning/split.ts';
import { openModelLog } from '../trainer/model-log.ts';
import { deploymentController } from '../trainer/rollout/deployment-controller.ts';
import { queueRescorer } from '../trainer/rollout/queue-rescorer.ts';
import { openCounts } from '../trainer/sample-counts.ts';
import { trainer } from '../trainer/trainer.ts';
import { bin, mib, startProcess, stopProcess, watch, watchChildren } from './processes.ts';

const HOURS = 24;
const HOUR_MS = 60 * 60 * 1000;
/** Components by process. */
const PROCESSES: readonly (readonly string[])[] = [
  ...[...processors, trainer, deploymentController, queueRescorer].map(({ name }) => [name]),
  projections.map(({ name }) => name),
];
/** The number of corpus rows that the first model is trained on. Later versions must learn the rest from the log. */
const FIRST_ROWS = 400;
const REBUILD_HOUR = 12;
const BAD_HOUR = 18;

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    conversations: { type: 'string', default: '1000000' },
    threshold: { type: 'string', default: '100000' },
    answers: { type: 'string', default: '4000' }, // the most answers of people per hour
  },
});
const conversations = Number(values.conversations);
const corpus = path.join(import.meta.dirname, '..', 'examples', 'corpus.jsonl');
const failures: string[] = [];

const closers: (() => unknown)[] = [];

const stack = await startStack();
try {
  await day(stack);
} finally {
  await Promise.all(closers.map((close) => close()));
  await stack.stop();
}
for (const failure of failures) process.stdout.write(`DOES NOT HOLD: ${failure}\n`);
process.exit(failures.length === 0 ? 0 : 1); // native clients may keep the loop alive after they were closed

async function day({ prepared }: Stack): Promise<void> {
  const { servers, pool } = prepared;
  const { rows } = await readCorpus(corpus);
  const first = await train(rows.slice(0, FIRST_ROWS), 'first');
  await samvad('promote', first, '--reason', 'The first model.');

  const env = { SAMVAD_TRAINING_THRESHOLD: values.threshold };
  const watches = PROCESSES.flatMap((names) => {
    const worker = startProcess(stack, names, env);
    closers.push(() => stopProcess(worker));
    const own = watch(names.length === 1 ? String(names[0]) : 'projections', worker.pid);
    return names[0] === trainer.name ? [own, watchChildren('training', worker.pid)] : [own];
  });
  closers.push(...watches.map(({ end }) => end));
  const quarters: ReadonlyMap<string, number>[] = [];
  const serving = startServing(prepared);
  closers.push(() => serving.stop());
  const producer = await createConversationProducer(producerOptions(prepared));
  closers.push(() => producer.close());
  const log = await openModelLog(servers.kafka, prepared.codecs);
  closers.push(() => log.close());

  const counts = await openCounts({ kafka: servers.kafka, codecs: prepared.codecs });
  closers.push(() => counts.close());
  /** The number of runs that have not ended, including those that the trainer will request at its next check. */
  const runsToCome = async () => {
    const [now, { approvals }] = [await log.read(), await counts.read()];
    return (
      openRuns(now).length +
      dueRuns(DATA_SET, approvals, lastAsked(now, DATA_SET).approvals, Number(values.threshold)).length
    );
  };

  const to = Date.now() - HOUR_MS;
  const from = to - HOURS * HOUR_MS;
  let hour = 0;
  let bad = '';
  let rebuilding: Promise<unknown> = Promise.resolve();
  const started = performance.now();
  const game = simulate(
    {
      rows: Array.from({ length: conversations }, (_, i) => rows[i % rows.length] as Sample),
      round: Math.ceil(conversations / HOURS),
      seed: 1,
      from,
      to,
      llmAccuracy: 0.9,
      reviewerErrors: 0.02,
    },
    {
      classifier: serving.classifier,
      policy: serving.policy,
      producer,
      async caughtUp() {
        while (producer.stats().spoolBytes > 0) await sleep(100);
        await untilCaughtUp(servers, pool);
      },
      async queue() {
        const since = new Date(from + hour * HOUR_MS);
        const found = await pool.query<{ conversation_id: string }>(
          'SELECT conversation_id FROM training_queue WHERE created_at >= $1 ORDER BY review_priority LIMIT $2',
          [since, values.answers],
        );
        return found.rows.map(({ conversation_id }) => conversation_id);
      },
      trained: async () => deploymentOf(await log.read()).production,
    },
  );
  process.stdout.write(`${columns([['hour', 'version', 'on trial', 'right', 'LLM', 'reviewed', 'seconds so far']])}\n`);
  for (let next = await game.next(); next.done !== true; next = await game.next()) {
    hour++;
    say(hour, next.value, deploymentOf(await log.read()).canary?.version);
    if (hour === BAD_HOUR) {
      bad = await train(rows.map(mislabelled(rows)), 'bad');
      await tryOut(bad);
    }
    if (hour === REBUILD_HOUR)
      rebuilding = Promise.all(['conversation-logs', 'training-samples'].map((name) => samvad('rebuild', name)));
    if (hour % (HOURS / 4) === 0) {
      quarters.push(new Map(watches.map(({ name, peak }) => [name, mib(peak.own)])));
      for (const { peak } of watches) peak.own = 0;
    }
  }
  await rebuilding;
  await untilCaughtUp(servers, pool);
  while ((await runsToCome()) > 0) await sleep(500); // the last approvals may trigger another run
  await untilCaughtUp(servers, pool);

  process.stdout.write(
    `\n${columns([['peak MiB of its own', '0–6 h', '6–12 h', '12–18 h', '18–24 h'], ...watches.map(({ name }) => [name, ...quarters.map((quarter) => quarter.get(name) ?? 0)])])}\n`,
  );
  const end = await log.read();
  const { models, runs } = end;
  const { production } = deploymentOf(end);
  process.stdout.write(
    `\n${columns([['version', 'status', 'verdict', 'traffic', 'judged last'], ...[...models].map(([version, { standing: s, judged }]) => [version, s.status, s.verdict ?? '', s.traffic_percentage, judged?.reasons.join(' ') ?? s.reasons.join(' ')])])}\n\n`,
  );

  holds(
    'every training run is finished',
    [...runs.values()].every(({ status }) => status === 'finished') && runs.size > 0,
    runs.size,
  );
  holds(
    'a version of the trainer is in production',
    runs.size > 0 && [...runs.values()].some(({ version }) => version === production),
    production,
  );
  holds(
    'the bad version was taken back',
    models.get(bad)?.standing.status === 'rolled_back',
    models.get(bad)?.standing.status,
  );
  await invariants(stack);

  /** Gives a version a tenth of the traffic. A version on trial is rolled back first. */
  async function tryOut(version: string): Promise<void> {
    const act = { by: 'bench', reason: 'A bad model, to see it go.', at: Date.now() };
    const ends = offsetsOf(await topicEnds(servers.kafka, topics.conversationEvents.name));
    for (;;) {
      const { canary } = deploymentOf(await log.read());
      if (canary) await log.append((now) => ({ models: rollBack(now, canary.version, act) }));
      const after = await log
        .append((now) => ({ models: setTraffic(now, version, 10, act, ends) }))
        .catch((error: unknown) => {
          if (!(error instanceof ModelLogRefused)) throw error; // the controller has changed the traffic meanwhile: try again
        });
      if (after) return;
    }
  }

  function say(number: number, { version, accuracy, fallback, reviewed }: Round, canary: string | undefined): void {
    const seconds = Math.round((performance.now() - started) / 1000);
    const cells = [number, version, canary ?? '', percent(accuracy), percent(fallback), percent(reviewed), seconds];
    process.stdout.write(`${cells.join('\t')}\n`);
  }

  /** Trains a model on `of`, registers it and returns its version. */
  async function train(of: readonly Sample[], name: string): Promise<string> {
    const file = path.join(stack.home, `${name}.jsonl`);
    await writeFile(
      file,
      of.map(({ text, intent, module, language }) => JSON.stringify({ text, intent, module, language })).join('\n'),
    );
    const { version } = JSON.parse(await samvad('train-router', file, '--register', '--json')) as { version: string };
    return version;
  }

  async function samvad(...args: readonly string[]): Promise<string> {
    const { stdout } = await run(process.execPath, [bin, ...args], {
      env: { ...process.env, ...stack.env },
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  }
}

/** Checks the invariants of the pipeline at rest. */
async function invariants({ prepared: { servers, pool, codecs } }: Stack): Promise<void> {
  const count = async (sql: string) => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n);
  const logged = codecs.of(topics.conversationEvents);
  let captured = 0;
  const ids = new Set<string>();
  for await (const { value } of readTopic(servers.kafka, topics.conversationEvents.name)) {
    const event = value === null ? undefined : logged.decode(value);
    if (event?.captured == null) continue;
    captured++;
    ids.add(event.conversation_id);
  }
  holds(
    'the log has each conversation once',
    captured === conversations && ids.size === conversations,
    `${captured} of ${ids.size}`,
  );
  const decided = new Set<string>();
  for await (const { key } of readTopic(servers.kafka, topics.routingDecisions.name)) decided.add(String(key));
  holds('each has a decision', decided.size === conversations, decided.size);
  const rows = await count('SELECT count(*) AS n FROM conversation_logs');
  holds('each has a row', rows === conversations, rows);
  const counts = await openCounts({ kafka: servers.kafka, codecs });
  const { approved: counted } = await counts.read().finally(() => counts.close());
  const approved = await count("SELECT count(*) AS n FROM training_samples WHERE review_status = 'approved'");
  holds(
    'the counter is the number of approved samples',
    counted === approved && approved > 0,
    `${counted} of ${approved}`,
  );
  const dead = (await topicEnds(servers.kafka, topics.deadLetters.name)).size;
  holds('there is no dead letter', dead === 0, dead);
  for (const projection of projections) {
    const before = await digestTable(pool, projection);
    await run(process.execPath, [bin, 'rebuild', projection.name], { env: { ...process.env, ...stack.env } });
    holds(`${projection.table} is the same when rebuilt`, (await digestTable(pool, projection)) === before, '');
  }
}

function holds(what: string, does: boolean, found: unknown): void {
  process.stdout.write(`${does ? 'holds' : 'DOES NOT HOLD'}: ${what}${found === '' ? '' : ` (${String(found)})`}\n`);
  if (!does) failures.push(what);
}

/** Gives each row the label of the next intent, so that the model is confident and wrong. */
function mislabelled(rows: readonly Sample[]): (row: Sample) => Sample {
  const labels = [...new Map(rows.map((row) => [labelName(row), row])).values()];
  const next = new Map(labels.map((row, i) => [labelName(row), labels[(i + 1) % labels.length] ?? row]));
  return (row) => {
    const { intent, module } = next.get(labelName(row)) ?? row;
    return { ...row, intent, module };
  };
}
