/**
 * The guards of the runners: for each of them the lines to remove, and a scenario with two workers, of which the first is held at
 * the point where the guard matters.
 */

/** A change of one file of `runtime/`: `from`, which must be there exactly once, becomes `to`. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** What happens to the workers, and what is counted afterwards; see guard-run.ts. */
export type Scenario =
  | 'joined in a commit'
  | 'joined after staging'
  | 'joined in a checkpoint'
  | 'killed after a commit'
  | 'paused in a transaction'
  | 'failed with a batch behind it'
  | 'paused with rows'
  | 'paused between two statements'
  | 'paused in a copy'
  | 'paused in a checkpoint';

/** One guard. */
export interface Guard {
  readonly name: string;
  /** Removes the guard. */
  readonly removal: readonly Edit[];
  readonly scenario: Scenario;
}

const SESSION = 'runtime/group-session.ts';
const PROCESSOR = 'runtime/processor-runner.ts';
const PROJECTION = 'runtime/projection-runner.ts';
const RDKAFKA = 'runtime/rdkafka.ts';
const POOL = 'runtime/postgres-pool.ts';
const PROJECTIONS = 'runtime/projection-store.ts';

/** The points that a worker reports and may be held at; every copy has them. */
export const points: readonly Edit[] = [
  after(SESSION, '    const staged = await member.stage(batch.messages);\n', "    await point('staged');\n"),
  before(SESSION, '  await member.commit(consumer, staged);', "  await point('commit');\n"),
  after(
    SESSION,
    '        await handle(member, membership, consumer, batch);\n',
    "        void membership.running.then(() => point('handled'));\n",
  ),
  before(SESSION, '  if (revoked) membership.epoch++;', "  if (revoked) void point('revoked');\n"),
  before(SESSION, '    onAssigned(membership.partitions.length);', "    if (!revoked) void point('assigned');\n"),
  before(PROCESSOR, '  await beginTransaction(producer);\n  // 5.', "  await point('committed');\n"),
  // Sends the offsets first, to give another process time to take over before the outputs; the broker must not abort meanwhile.
  after(
    PROCESSOR,
    '  const sending = sendOffsets(producer, offsets, consumer);\n',
    "  await sending;\n  await point('offsets sent');\n",
  ),
  { file: RDKAFKA, from: 'const TRANSACTION_TIMEOUT_MS = 10_000;', to: 'const TRANSACTION_TIMEOUT_MS = 120_000;' },
  after(PROCESSOR, '  const { options, watermarks, store } = session;\n', "  void point('taking over');\n"),
  before(PROCESSOR, '  session.positions.clear();\n', "  void point('restored');\n"),
  before(
    PROCESSOR,
    '  const ends: (readonly [number, number])[] = [];\n',
    "  const held = session.stats.processed > 0 && (await point('checkpoint'));\n",
  ),
  after(
    PROCESSOR,
    '  for (const [partition, end] of ends) store.apply(partition, [], end);\n',
    "  if (held) await point('checkpointed');\n",
  ),
  after(PROJECTION, '    await advance(client, projection, moves);\n', "    await point('moved');\n"),
  before('runtime/copy-rows.ts', '    yield HEADER;\n', "    await point('copying');\n"),
  // The worker makes a checkpoint after each batch, and reads on while it is held.
  {
    file: SESSION,
    from: 'const CHECKPOINT_MS = 60_000;',
    to: "const CHECKPOINT_MS = process.env['SAMVAD_HOLD_AT'] === 'moved' ? 60_000 : -1;", // a checkpoint would wait for the held batch
  },
  { file: SESSION, from: 'const BUSY_SHARE = 0.2;', to: 'const BUSY_SHARE = 0;' },
  {
    file: SESSION,
    from: 'const reading = consume(consumer, member.maxBatch);',
    to: `const reading = (async () => {
      const messages: Message[] = [];
      do messages.push(...(await consume(consumer, member.maxBatch)));
      while (readsOn(messages.length) && membership.epoch === epoch && !membership.closed);
      return messages;
    })();`,
  },
];

/** The guards of processors, and of code that both runners share. */
export const processorGuards: readonly Guard[] = [
  {
    name: 'a revocation waits for the running batch',
    removal: [
      {
        file: SESSION,
        from: `      await whenIdle(membership, membership, () => member.checkpoint(consumer, membership.partitions));
      await membership.running;
      membership.partitions`,
        to: `      if (!membership.failure) await member.checkpoint(consumer, membership.partitions);
      membership.partitions`,
      },
      { file: SESSION, from: '        await membership.running; // work that has started meanwhile\n', to: '' },
    ],
    scenario: 'joined in a commit',
  },
  {
    name: 'what was staged before a revocation is dropped',
    removal: [
      { file: SESSION, from: 'if (epoch === membership.epoch) membership.running', to: 'if (true) membership.running' },
    ],
    scenario: 'joined after staging',
  },
  {
    name: 'a revocation waits for the running checkpoint',
    removal: [
      {
        file: SESSION,
        from: `await whenIdle(membership, batch, () => member.checkpoint(consumer, membership.partitions));
        await membership.running;
        checkpointed`,
        to: 'await membership.running;\n        await member.checkpoint(consumer, membership.partitions);\n        checkpointed',
      },
    ],
    scenario: 'joined in a checkpoint',
  },
  {
    name: 'offsets are in the transaction of the outputs',
    removal: [
      {
        file: PROCESSOR,
        from: 'const sending = sendOffsets(producer, offsets, consumer);',
        to: 'const sending = Promise.resolve();',
      },
      { file: PROCESSOR, from: '  // 5. Committed', to: '  consumer.commitSync(offsets);\n  // 5. Committed' },
    ],
    scenario: 'killed after a commit',
  },
  {
    name: 'committed offsets are read before the table',
    removal: [
      { file: PROCESSOR, from: '  const committed = await committedOffsets(consumer, partitions);\n', to: '' },
      {
        file: PROCESSOR,
        from: '  session.positions.clear();\n',
        to: '  const committed = await committedOffsets(consumer, partitions);\n  session.positions.clear();\n',
      },
    ],
    scenario: 'paused in a transaction',
  },
  {
    name: 'only a member of the group records the end of a table',
    removal: [
      {
        file: PROCESSOR,
        from: '  await commitOffsets(session, consumer, [...positions.values()]);\n',
        to: '',
      },
    ],
    scenario: 'paused in a checkpoint',
  },
];

/** The guards of projections. */
export const projectionGuards: readonly Guard[] = [
  {
    name: 'nothing more begins after a failure',
    removal: [{ file: SESSION, from: '  if (membership.failure) return;\n', to: '' }],
    scenario: 'failed with a batch behind it',
  },
  {
    name: 'projection_offsets moves by compare-and-set',
    removal: [{ file: PROJECTIONS, from: 'AND held.epoch = move.epoch AND held.next_offset = move.before', to: '' }],
    scenario: 'paused with rows',
  },
  {
    name: 'a paused process does not keep its rows of projection_offsets',
    removal: [
      {
        file: POOL,
        from: 'BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${String(MAX_IDLE_MS)}',
        to: 'BEGIN',
      },
    ],
    scenario: 'paused between two statements',
  },
  {
    name: 'a paused process does not keep these rows while it copies',
    removal: [
      { file: PROJECTION, from: '    await sendBatch(client, projection, batch);\n', to: '' },
      {
        file: PROJECTION,
        from: '    await applyBatch(client, projection, batch);\n',
        to: '    await sendBatch(client, projection, batch);\n    await applyBatch(client, projection, batch);\n',
      },
    ],
    scenario: 'paused in a copy',
  },
];

function before(file: string, line: string, added: string): Edit {
  return { file, from: line, to: `${added}${line}` };
}

function after(file: string, line: string, added: string): Edit {
  return { file, from: line, to: `${line}${added}` };
}
