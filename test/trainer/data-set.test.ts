import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import type { SampleApproved, SampleEvent } from '../../schemas/types.ts';
import { canonicalLine, rowOf } from '../../trainer/data-row.ts';
import type { DataRow } from '../../trainer/data-row.ts';
import { buildDataSet, requestOf } from '../../trainer/data-set.ts';
import type { DataSetRequest, PlacedSample } from '../../trainer/data-set.ts';
import { filesOf } from '../../trainer/formats.ts';

function sample(fields: Partial<SampleApproved> = {}): SampleApproved {
  return {
    conversation_id: 'c-1',
    text: 'where is my order',
    language: 'en',
    intent: 'track_order',
    module: 'food',
    entities: [],
    source: 'human',
    confidence: 0.75,
    reviewer: 'asha',
    policy_version: 'routing-v1',
    model_version: 'router-v1.0.0',
    review_propensity: null,
    captured_at: Date.UTC(2026, 10, 1),
    approved_at: Date.UTC(2026, 10, 2),
    stands: true,
    events: 0,
    ...fields,
  };
}
const approve = (fields: Partial<SampleApproved> = {}): SampleEvent => {
  const approved = sample(fields);
  return { conversation_id: approved.conversation_id, approved, withdrawn: null, erased_at: null };
};
const withdraw = (conversation_id: string): SampleEvent => ({
  conversation_id,
  approved: null,
  withdrawn: { conversation_id, intent: '', module: '', language: '', reason: 'rejected', withdrawn_at: 0 },
  erased_at: null,
});

const erase = (conversation_id: string): SampleEvent => ({
  ...{ conversation_id, approved: null, withdrawn: null },
  erased_at: Date.UTC(2026, 10, 3),
});

/** The events as partitions of a log, null where compaction took one; read in the order of `partitions`. */
async function* log(
  events: readonly (readonly (SampleEvent | null)[])[],
  partitions: readonly number[],
): AsyncGenerator<PlacedSample> {
  for (const partition of partitions)
    for (const [offset, event] of (events[partition] ?? []).entries()) {
      await Promise.resolve();
      if (event) yield { partition, offset, schemaId: 7, event };
    }
}
const upTo = new Map([
  [0, 10],
  [1, 10],
]);
async function build(
  events: readonly (readonly (SampleEvent | null)[])[],
  request: Partial<DataSetRequest> = {},
  partitions = [0, 1],
) {
  const dataSet = await buildDataSet({ dataSet: 'default', upTo, ...request }, log(events, partitions), '1.0.0');
  const lines = [...dataSet.rows()].map(({ row }) => canonicalLine(row));
  await dataSet.close();
  return {
    manifest: dataSet.manifest,
    erasedSince: dataSet.erasedSince,
    byRolledBack: dataSet.byRolledBack,
    ids: lines.map((line) => (JSON.parse(line) as DataRow).conversation_id),
    bytes: lines.join(''),
  };
}

describe('data set', () => {
  const events = [
    [
      approve({ conversation_id: 'b' }),
      approve({ conversation_id: 'd', language: 'hi', confidence: null }),
      withdraw('b'),
      approve({ conversation_id: 'b', intent: 'fare', module: 'ride' }),
    ],
    [approve({ conversation_id: 'c', confidence: 0.9 }), approve({ conversation_id: 'a' }), withdraw('a')],
  ];

  it('holds what stands, sorted, the same bytes however the partitions are read', async () => {
    const one = await build(events);
    assert.deepEqual(one.ids, ['b', 'c', 'd']);
    assert.deepEqual(one.manifest.by_intent, { 'food/track_order': 2, 'ride/fare': 1 });
    const other = await build(events, requestOf(one.manifest), [1, 0]);
    assert.equal(other.bytes, one.bytes);
    assert.deepEqual(other.manifest, one.manifest);
  });

  const filters: readonly (readonly [string, Partial<DataSetRequest>, readonly string[]])[] = [
    ['language', { filters: { language: 'hi' } }, ['d']],
    ['module', { filters: { module: 'ride' } }, ['b']],
    ['least confidence', { filters: { minConfidence: 0.9 } }, ['c']],
    ['most confidence', { filters: { maxConfidence: 0.8 } }, ['b']],
    ['from', { filters: { from: '2026-11-01T00:00:00Z' } }, ['b', 'c', 'd']],
    ['to', { filters: { to: '2026-11-01T00:00:00Z' } }, []],
    ['limit', { limit: 2 }, ['b', 'c']],
    [
      'unused: relabelled counts, before the mark does not',
      {
        unusedSince: new Map([
          [0, 3],
          [1, 3],
        ]),
      },
      ['b'],
    ],
  ];
  for (const [name, request, ids] of filters)
    it(`filters by ${name}, and its manifest asks for the same`, async () => {
      const made = await build(events, request);
      assert.deepEqual(made.ids, ids);
      assert.deepEqual((await build(events, requestOf(made.manifest), [1, 0])).manifest, made.manifest);
    });

  it('tells beside a row with which chance a person was asked, and keeps its bytes', async () => {
    const asked = [[approve({ review_propensity: 0.05 }), approve({ conversation_id: 'c-2' })], []];
    const dataSet = await buildDataSet({ dataSet: 'default', upTo }, log(asked, [0]), '1.0.0');
    assert.deepEqual(
      [...dataSet.rows()].map(({ reviewPropensity }) => reviewPropensity),
      [0.05, null],
    );
    await dataSet.close();
    assert.deepEqual(await build(asked), await build([[approve(), approve({ conversation_id: 'c-2' })], []]));
  });

  describe('after a version was rolled back', () => {
    const taken = { source: 'auto', reviewer: null, model_version: 'router-v1.3.0' } as const;
    const labelled = [
      [
        approve({ ...taken, conversation_id: 'a' }),
        approve({ ...taken, conversation_id: 'b', model_version: 'router-v1.2.0' }),
        approve({ ...taken, conversation_id: 'c', model_version: null }),
        approve({ conversation_id: 'd', model_version: 'router-v1.3.0' }),
      ],
      [
        approve({ ...taken, conversation_id: 'e' }),
        withdraw('e'),
        approve({ ...taken, conversation_id: 'f' }),
        erase('f'),
      ],
    ];
    const read = {
      upTo: new Map([
        [0, 4],
        [1, 3],
      ]),
    };

    it('leaves out what it labelled itself, counts that, and its manifest makes the same again', async () => {
      const made = await build(labelled, { ...read, rolledBack: ['router-v1.3.0'] });
      assert.deepEqual(made.ids, ['b', 'c', 'd']);
      assert.equal(made.byRolledBack, 1, 'withdrawn and erased ones are not counted');
      const again = await build(labelled, requestOf(made.manifest), [1, 0]);
      assert.deepEqual(again, made);
    });

    it('makes data sets from before it as they were, all rows and the same manifest', async () => {
      const before = await build(labelled, read);
      assert.deepEqual(before.ids, ['a', 'b', 'c', 'd']);
      assert.ok(!('rolled_back' in before.manifest));
      assert.deepEqual(await build(labelled, { ...read, rolledBack: [] }), before);
    });
  });

  it('leaves out what was erased after its offsets, also where the sample was withdrawn before, and where compaction has taken it', async () => {
    const before = {
      upTo: new Map([
        [0, 4],
        [1, 3],
      ]),
    };
    const whole = await build(events, before);
    assert.deepEqual([whole.ids, whole.erasedSince], [['b', 'c', 'd'], 0]);
    const [first = [], second = []] = events;
    const later = [
      [...first, withdraw('b'), erase('b'), erase('never-sampled')],
      [...second, approve({ conversation_id: 'e' }), erase('e')],
    ];
    const left = await build(
      later.map((all) => all.filter((event, i) => i < 4 || event.erased_at !== null)),
      before,
    );
    assert.deepEqual([left.ids, left.erasedSince], [['c', 'd'], 3]);
    assert.equal(left.manifest.rows, 2);
    const gone = ['b', 'e'];
    const compacted = later.map((all) =>
      all.map((event) => (event.erased_at === null && gone.includes(event.conversation_id) ? null : event)),
    );
    assert.deepEqual(await build(compacted, before), left);
    const limited = await build(later, { ...before, limit: 1 });
    assert.deepEqual([limited.ids, limited.erasedSince], [[], 3]);
  });
});

describe('row', () => {
  it('composes its strings and moves the spans of entities', () => {
    const text = 'cafe\u0301 41 \u{1F600}';
    const row = rowOf(
      sample({
        text,
        entities: [
          { name: 'n', value: '41', start: 6, end: 8 },
          { name: 'x', value: 'e', start: 3, end: 4 },
        ],
      }),
    );
    assert.equal(row.text, 'caf\u00e9 41 \u{1F600}');
    assert.deepEqual(row.entities[0], { name: 'n', value: '41', start: 5, end: 7 });
    // A span that ends within a composed character has no place any more.
    assert.deepEqual(row.entities[1], { name: 'x', value: 'e', start: null, end: null });
  });
});

/** Texts that break formats, with an entity on the word "order". */
const nasty = [
  '[a](b) order',
  '- order',
  '# order',
  'two\nlines order',
  'back\\slash order',
  '\u{1F600}\u{1F468}\u200d\u{1F469} order',
  ' order ',
  '"order": {x}',
  'order: |',
  "it's order\u2028here",
  'मेरा order',
  'order\r\n',
  '{{order}}',
  '[order]{"entity": "x"}',
  'null',
  '12',
  '\ufefforder',
  'order\tnow',
  '---',
  '%order',
].map((text, i) => {
  const start = text.indexOf('order');
  const entities = start < 0 ? [] : [{ name: 'thing', value: 'order', start, end: start + 5 }];
  return rowOf(sample({ conversation_id: `c-${i}`, text, entities }));
});

/** What must come back: the text, and the words under each entity. */
const expected = nasty.map(({ text, entities }) => [text, entities.map(() => 'order')] as const).sort();
const python = (text: string, start: number, end: number) => Array.from(text).slice(start, end).join('');

async function files(format: 'rasa' | 'spacy' | 'label-studio' | 'hugging-face') {
  const { manifest } = await build(
    [nasty.map((row) => approve({ conversation_id: row.conversation_id, text: row.text, entities: row.entities }))],
    { upTo: new Map([[0, 99]]) },
  );
  return filesOf(format, nasty, manifest);
}

describe('formats give back texts and spans that would break them', () => {
  it('rasa', async () => {
    const written = await files('rasa');
    const yaml = parse(written.get('nlu.yml') ?? '') as { nlu: { intent: string; examples: string }[] };
    assert.deepEqual([...new Set(yaml.nlu.map(({ intent }) => intent))], ['food/track_order']);
    // As Rasa reads it: one example a line behind "- ", stripped, then its markup.
    const plain = yaml.nlu
      .flatMap(({ examples }) => examples.split('\n').flatMap((line) => /^\s*-\s*(.*)$/u.exec(line)?.[1]?.trim() ?? []))
      .map((line) => [
        line.replace(/\[([^\]]+?)\]\(([^:)]+?)\)/g, '$1'),
        [...line.matchAll(/\[([^\]]+?)\]\(/g)].map(([, word]) => word),
      ]);
    const literal = JSON.parse(written.get('nlu-literal.json') ?? '') as {
      rasa_nlu_data: { common_examples: { text: string; entities: { start: number; end: number }[] }[] };
    };
    const others = literal.rasa_nlu_data.common_examples.map(({ text, entities }) => [
      text,
      entities.map(({ start, end }) => python(text, start, end)),
    ]);
    assert.deepEqual([...plain, ...others].sort(), expected);
    assert.ok(plain.length > 3, `${plain.length} in YAML`);
  });
  it('spacy', async () => {
    const lines = ((await files('spacy')).get('train.jsonl') ?? '').trim().split('\n');
    const docs = lines.map(
      (line) => JSON.parse(line) as { text: string; cats: object; entities: [number, number, string][] },
    );
    assert.deepEqual(
      docs.map(({ text, entities }) => [text, entities.map(([start, end]) => python(text, start, end))]).sort(),
      expected,
    );
  });
  it('label-studio', async () => {
    const tasks = JSON.parse((await files('label-studio')).get('tasks.json') ?? '') as {
      data: { text: string };
      annotations: { result: { type: string; value: { start: number; end: number } }[] }[];
    }[];
    const back = tasks.map(({ data: { text }, annotations }) => [
      text,
      (annotations[0]?.result ?? [])
        .filter(({ type }) => type === 'labels')
        .map(({ value }) => text.slice(value.start, value.end)),
    ]);
    assert.deepEqual(back.sort(), expected);
  });
  it('hugging-face, on the side of its split', async () => {
    const written = await files('hugging-face');
    const rows = ['train', 'validation', 'test'].flatMap((side) =>
      (written.get(`data/${side}.jsonl`) ?? '')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as DataRow),
    );
    const kept = expected.filter(([text]) => text !== '---');
    assert.deepEqual(
      rows
        .map(({ text, entities }) => [text, entities.map(({ start, end }) => python(text, start ?? 0, end ?? 0))])
        .sort(),
      kept,
    );
    assert.match(written.get('README.md') ?? '', /split: validation/);
  });
});
