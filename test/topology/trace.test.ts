import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { traceFrom } from '../../producers/trace.ts';
import { logPoisoned } from '../../runtime/dead-letter-writer.ts';
import { rawRecord } from '../../runtime/rdkafka.ts';
import { partitionOf } from '../../stream/partition.ts';
import { Poison } from '../../stream/poison.ts';
import type { Topic } from '../../stream/topic.ts';
import { parseTraceparent, traceIdOf } from '../../stream/trace.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';
import { start } from './driver.ts';
import type { Driver } from './driver.ts';

const ID = 'conversation-1';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const OTHER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00';
const [, TRACE_ID = '', SPAN = ''] = TRACE.split('-');

describe('a traceparent', () => {
  for (const [what, text, expected] of [
    ['of version 00 stays as it is', TRACE, TRACE],
    ['keeps flags that are not known yet', TRACE.replace(/01$/, '03'), TRACE.replace(/01$/, '03')],
    ['of a later version becomes 00, with the flag that is known', `01-${TRACE_ID}-${SPAN}-07`, TRACE],
    ['of a later version may have more fields', `cc-${TRACE_ID}-${SPAN}-00-what-else`, TRACE.replace(/01$/, '00')],
    ['of version 00 may not have more fields', `${TRACE}-more`, null],
    ['has no more text without a dash', `cc-${TRACE_ID}-${SPAN}-01x`, null],
    ['of version ff is invalid', `ff-${TRACE_ID}-${SPAN}-01`, null],
    ['has a trace id that is not all zeros', `00-${'0'.repeat(32)}-${SPAN}-01`, null],
    ['has a parent id that is not all zeros', `00-${TRACE_ID}-${'0'.repeat(16)}-01`, null],
    ['is in lower case', TRACE.toUpperCase(), null],
    ['is hexadecimal', TRACE.replace('4bf9', '4bfg'), null],
    ['has the right lengths', TRACE.replace('-4', '-44'), null],
    ['is not a list', `${TRACE}, ${OTHER}`, null],
    ['has no space around it', ` ${TRACE}`, null],
    ['is not empty', '', null],
  ] as const)
    it(what, () => assert.equal(parseTraceparent(text), expected));

  it('is taken from the caller, replaced by a new one when malformed, and not made up where there is none', () => {
    assert.deepEqual(traceFrom({ traceparent: TRACE }), { traceparent: TRACE });
    assert.deepEqual(traceFrom({}), {});
    const [one, two] = ['nonsense', 'nonsense'].map((traceparent) => traceFrom({ traceparent }).traceparent ?? '');
    assert.equal(parseTraceparent(one ?? ''), one);
    assert.notEqual(one, two);
  });

  it('is read from the headers of a record: the last of several, and none when it is malformed', () => {
    const of = (...headers: Record<string, string | Buffer>[]) =>
      rawRecord({ topic: 't', partition: 0, offset: 0, size: 1, value: null, ...(headers.length > 0 && { headers }) })
        .traceparent;
    assert.equal(of({ traceparent: Buffer.from(TRACE) }), TRACE);
    assert.equal(of({ traceparent: OTHER }, { 'content-type': 'x' }, { traceparent: Buffer.from(TRACE) }), TRACE);
    assert.equal(of({ traceparent: Buffer.from([0xff, 0xfe]) }), null);
    assert.equal(of({ toString: 'x' }), null);
    assert.equal(of(), null);
  });
});

describe('the trace of a conversation', () => {
  /** Sends a conversation that a person must see to `partition`, then its review and a conflicting duplicate in a second trace. */
  function play(traces: readonly [string?, string?], partition?: number): Driver {
    const driver = start(1);
    const [first, second] = traces.map((traceparent) => (traceparent === undefined ? {} : { traceparent }));
    driver.send(topics.conversations, ID, conversation({ nlu_confidence: 0.4 }), {
      ...(partition !== undefined && { partition }),
      ...first,
    });
    driver.drain();
    driver.send(topics.reviews, ID, review(), second);
    driver.send(topics.conversations, ID, conversation({ user_message: 'something else' }), second);
    driver.drain();
    return driver;
  }
  const tracesIn = (driver: Driver) =>
    Object.fromEntries(
      Object.values(topics).map((topic: Topic) => [
        topic.name.replace('nlu.', ''),
        driver.records(topic).map(({ traceparent }) => traceparent),
      ]),
    );

  it('is that of the record that caused the write, in every topic, also for dead letters', () => {
    const traces = tracesIn(play([TRACE, OTHER]));
    for (const topic of ['conversation-events', 'routing-decisions', 'review-queue', 'intake-ledger'])
      assert.deepEqual(traces[topic], [TRACE, OTHER], topic);
    for (const topic of ['training-samples', 'current-samples', 'dead-letters'])
      assert.deepEqual(traces[topic], [OTHER], topic);
  });

  it('stays with a record that is moved to the partition of its key', () => {
    const right = partitionOf(ID, PARTITIONS);
    const traces = tracesIn(play([TRACE], (right + 1) % PARTITIONS));
    assert.deepEqual(
      traces['conversations']?.filter((one) => one !== null),
      [TRACE, TRACE],
    );
    assert.deepEqual(traces['conversation-events'], [TRACE, null]);
  });

  it('changes only the header: keys, values and offsets are the same without it', () => {
    const [traced, untraced] = [play([TRACE, OTHER]), play([])];
    for (const topic of Object.values<Topic>(topics)) {
      const records = (driver: Driver) => driver.records(topic).map((record) => ({ ...record, traceparent: null }));
      assert.deepEqual(records(traced), records(untraced), topic.name);
    }
    assert.ok(
      Object.values(tracesIn(untraced))
        .flat()
        .every((one) => one === null),
    );
  });

  it('is logged with each dead letter, beside the key under its name, and a flood of lines is cut short', () => {
    const lines: Record<string, unknown>[] = [];
    const log = pino({ base: null }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
    const letter = (offset: number, topic: string, traceparent: string | null) => {
      const place = { topic, partition: 3, offset, timestamp: 0, key: Buffer.from(ID), value: null };
      return [{ ...place, traceparent }, new Poison('bad-avro', 'It is cut off.')] as const;
    };
    logPoisoned(
      log,
      [topics.conversations, topics.policies],
      [letter(7, topics.conversations.name, TRACE), letter(8, topics.policies.name, null)],
    );
    const [first, second] = lines;
    assert.deepEqual(
      [first?.['conversation_id'], first?.['trace_id'], first?.['code'], first?.['partition'], first?.['offset']],
      [ID, traceIdOf(TRACE), 'bad-avro', 3, 7],
    );
    assert.deepEqual([second?.['policy_number'], second !== undefined && 'trace_id' in second], [ID, false]);
    lines.length = 0;
    logPoisoned(
      log,
      [],
      Array.from({ length: 5000 }, (_, i) => letter(i, 't', null)),
    );
    assert.deepEqual([lines.length, lines.at(-1)?.['more']], [21, 4980]);
  });
});
