import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { countSample } from '../../policy/approval.ts';
import { dueRuns, runAt, totalApprovals, watermarks } from '../../policy/trigger.ts';
import type { SampleMark, Watermark } from '../../policy/trigger.ts';
import type { ApprovedSampleCount, SampleEvent } from '../../schemas/types.ts';
import { sample } from '../fixtures.ts';

const PARTITIONS = 6;

/** An approval of conversation `i`. */
function approval(i: number): SampleEvent {
  const conversation_id = `c-${i}`;
  const approved = sample({ conversation_id });
  return { conversation_id, approved, withdrawn: null, erased_at: null };
}

/** The runs that trainers request while `order` (conversation numbers) is counted; they check at the positions in `looks`. */
function runsOf(
  order: readonly number[],
  looks: ReadonlySet<number>,
  redelivered: (at: number) => boolean,
): readonly string[] {
  const counts = new Map<number, ApprovedSampleCount>();
  const offsets = Array.from({ length: PARTITIONS }, () => 0);
  const log = new Map<string, number>();
  order.forEach((i, at) => {
    const partition = i % PARTITIONS;
    const offset = offsets[partition] ?? 0;
    offsets[partition] = offset + 1;
    for (let delivery = 0; delivery < (redelivered(at) ? 2 : 1); delivery++)
      counts.set(partition, countSample(counts.get(partition), approval(i), { dataSet: 'default', partition, offset }));
    if (!looks.has(at) && at < order.length - 1) return;
    // Two trainers see the same; the log takes each run id once.
    for (let trainer = 0; trainer < 2; trainer++) {
      const asked = Math.max(0, ...log.values());
      for (const run of dueRuns('default', totalApprovals(counts.values(), 'default'), asked, 1000))
        if (!log.has(run.id)) log.set(run.id, run.approvals);
    }
  });
  return [...log.keys()];
}

describe('trigger', () => {
  const table: readonly (readonly [approvals: number, asked: number, runs: readonly string[]])[] = [
    [0, 0, []],
    [999, 0, []],
    [1000, 0, ['default-1000']],
    [1999, 0, ['default-1000']],
    [2000, 0, ['default-1000', 'default-2000']],
    [2000, 1000, ['default-2000']],
    // A weekly run at 1,700 used all approvals until then, so the next thousand begins after it.
    [2699, 1700, []],
    [2700, 1700, ['default-2700']],
  ];
  for (const [approvals, asked, runs] of table)
    it(`${approvals} approvals, the last run at ${asked} → ${runs.join(', ') || 'nothing'}`, () => {
      assert.deepEqual(
        dueRuns('default', approvals, asked, 1000).map(({ id }) => id),
        runs,
      );
    });

  it('gives the same runs in any order of samples, delivered twice, checked at any time by two trainers', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1000, 1999, 2000),
        fc.integer(),
        fc.array(fc.nat(1999), { maxLength: 20 }),
        (n, seed, looks) => {
          const order = Array.from({ length: n }, (_, i) => i).sort(
            (a, b) => (Math.imul(a + 1, seed | 1) >>> 0) - (Math.imul(b + 1, seed | 1) >>> 0),
          );
          assert.deepEqual(
            runsOf(order, new Set(looks), (at) => (at * 7 + seed) % 3 === 0),
            n === 2000 ? ['default-1000', 'default-2000'] : ['default-1000'],
          );
        },
      ),
      { numRuns: 30 },
    );
  });

  it('counts one data set only', () => {
    const counts = [{ ...countSample(undefined, approval(1), { dataSet: 'other', partition: 0, offset: 0 }) }];
    assert.equal(totalApprovals(counts, 'default'), 0);
    assert.equal(runAt('default', 3).id, 'default-3');
  });
});

describe('watermarks', () => {
  const mark = (partition: number, offset: number, timestamp: number, approves = true): SampleMark => ({
    partition,
    offset,
    timestamp,
    approves,
  });

  /** Marks of some partitions; counts how many were read. */
  function source(marks: readonly SampleMark[], read = { count: 0 }) {
    async function* reading(partition: number) {
      for (const one of marks.filter((each) => each.partition === partition)) {
        await Promise.resolve();
        read.count++;
        yield one;
      }
    }
    return [2, 0, 1].map(reading);
  }

  /** The first `count` watermarks, each in order of partition. */
  async function first(count: number, marks: readonly SampleMark[], from: Watermark, every: number) {
    const found: [number, number][][] = [];
    const all = watermarks(source(marks), from, every);
    while (found.length < count) found.push([...(await all.next()).value].sort());
    return found;
  }

  it('takes the earliest approvals as a prefix of each partition, with the withdrawals among them', async () => {
    const marks = [mark(0, 0, 10), mark(0, 1, 5), mark(0, 2, 30), mark(1, 0, 7), mark(1, 4, 12, false), mark(1, 5, 40)];
    const three = [
      [0, 2],
      [1, 1],
    ];
    const four = [
      [0, 3],
      [1, 5],
    ];
    assert.deepEqual(await first(1, marks, new Map(), 3), [three]);
    assert.deepEqual(await first(1, marks, new Map(), 4), [four]);
  });
  it('takes all where there are too few, as after an erasure and a compaction', async () => {
    const all = [
      [0, 1],
      [1, 5],
      [2, 3],
    ];
    assert.deepEqual(await first(2, [mark(0, 0, 1), mark(1, 4, 2, false)], new Map([[2, 3]]), 2), [all, all]);
  });
  it('continues from a watermark', async () => {
    const from = new Map([
      [0, 1],
      [3, 8],
    ]);
    const one = [
      [0, 2],
      [3, 8],
    ];
    assert.deepEqual(await first(1, [mark(0, 1, 2)], from, 1), [one]);
  });
  it('reads no further than the threshold requires, and ends its readers', async () => {
    const read = { count: 0 };
    const marks = Array.from({ length: 9000 }, (_, i) => mark(i % 3, Math.floor(i / 3), i));
    const partitions = source(marks, read);
    const all = watermarks(partitions, new Map(), 1000);
    await all.next();
    assert.equal(read.count, 1003);
    await all.return(undefined as never);
    for (const partition of partitions) assert.equal((await partition.next()).done, true);
  });

  /** Marks in three partitions, with times that may run backwards. */
  const rows = fc.array(fc.tuple(fc.nat(2), fc.nat(50), fc.boolean()), { minLength: 1 }).map((tuples) => {
    const next = [0, 0, 0];
    return tuples.map(([partition, time, approves]) => {
      const offset = next[partition] ?? 0;
      next[partition] = offset + 1;
      return mark(partition, offset, time, approves);
    });
  });

  it('gives the same watermarks in one pass as one by one', () =>
    fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 9 }), async (marks, every) => {
        let from: Watermark = new Map();
        for (const watermark of await first(5, marks, new Map(), every)) {
          const rest = marks.filter(({ partition, offset }) => offset >= (from.get(partition) ?? 0));
          const [alone] = await first(1, rest, from, every);
          assert.deepEqual(watermark, alone);
          from = new Map(watermark);
        }
      }),
    ));
  it('takes the marks in order of their time, which never runs backwards within a partition', () =>
    fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 20 }), async (marks, every) => {
        const latest = [0, 0, 0];
        const timed = marks.map((one) => {
          const time = Math.max(latest[one.partition] ?? 0, one.timestamp);
          latest[one.partition] = time;
          return { ...one, time };
        });
        const wanted = new Map<number, number>();
        let missing = every;
        for (const one of timed.sort((a, b) => a.time - b.time || a.partition - b.partition || a.offset - b.offset)) {
          if (missing === 0) break;
          wanted.set(one.partition, one.offset + 1);
          if (one.approves) missing--;
        }
        assert.deepEqual(await first(1, marks, new Map(), every), [[...wanted].sort()]);
      }),
    ));
});
