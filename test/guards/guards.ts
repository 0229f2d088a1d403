/**
 * The guards of the runners: for each of them the line that is taken out, the point at which a worker must be for it to matter,
 * and what then happens to the worker.
 */

/** A change of one file: `from`, which must be there exactly once, becomes `to`. */
export interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** What happens to the first worker while it is held, and what is counted afterwards. */
export type Scenario = 'another worker joins' | 'killed' | 'paused, rows' | 'paused, table';

/** One guard. */
export interface Guard {
  readonly name: string;
  /** Stops the worker at the point where the guard matters; in the complete program too. */
  readonly hold: readonly Edit[];
  /** Takes the guard out. */
  readonly removal: readonly Edit[];
  readonly scenario: Scenario;
}

const SESSION = 'runtime/group-session.ts';
const PROCESSOR = 'runtime/processor-runner.ts';
const PROJECTION = 'runtime/projection-runner.ts';

/** A client tells of a revocation while it reads, so the worker reads on while it is held. */
const readingAhead: readonly Edit[] = [
  { file: SESSION, from: 'const BUSY_SHARE = 0.2;', to: 'const BUSY_SHARE = 0;' },
  {
    file: SESSION,
    from: 'const reading = consume(consumer, member.maxBatch);',
    to: `const reading = (async () => {
      for (let i = 0; i < 300; i++) {
        const messages = await consume(consumer, member.maxBatch);
        if (messages.length > 0 || membership.epoch !== epoch) return messages;
      }
      return [];
    })();`,
  },
];

/** All guards that are taken out in turn. */
export const guards: readonly Guard[] = [
  {
    name: 'a revocation waits for the running batch',
    hold: [after(PROCESSOR, '  const changes = store.stage(result.changes);\n'), ...readingAhead],
    removal: [
      {
        file: SESSION,
        from: '      await membership.running;\n      if (!membership.failure) await member.checkpoint(membership.partitions);',
        to: '      if (!membership.failure) await member.checkpoint(membership.partitions);',
      },
    ],
    scenario: 'another worker joins',
  },
  {
    name: 'offsets are in the transaction of the outputs',
    hold: [before(PROCESSOR, '  await begin(producer);\n  // 5.')],
    removal: [
      {
        file: PROCESSOR,
        from: `call('sending offsets', (done) =>
    producer.sendOffsetsToTransaction(offsets, consumer, 10_000, (error) => done(error, undefined)),
  )`,
        to: 'Promise.resolve()',
      },
      { file: PROCESSOR, from: '  // 5. Committed', to: '  consumer.commitSync(offsets);\n  // 5. Committed' },
    ],
    scenario: 'killed',
  },
  {
    name: 'projection_offsets moves by compare-and-set',
    hold: [before(PROJECTION, '  await moveTo(pool, projection, held, next, (client) =>')],
    removal: [
      {
        file: 'runtime/projection-store.ts',
        from: 'AND held.epoch = move.epoch AND held.next_offset = move.before',
        to: '',
      },
    ],
    scenario: 'paused, rows',
  },
  {
    name: 'only the owner of a local table writes to it',
    hold: [before(PROCESSOR, '  session.written = changes.write();')],
    removal: [
      {
        file: 'runtime/state-store.ts',
        from: 'markers.ifVersion(partition, owner, ',
        to: 'markers.ifVersion(partition, markers.getEntry(partition)?.version ?? owner, ',
      },
    ],
    scenario: 'paused, table',
  },
];

function before(file: string, line: string): Edit {
  return { file, from: line, to: `  await hold();\n${line}` };
}

function after(file: string, line: string): Edit {
  return { file, from: line, to: `${line}  await hold();\n` };
}
