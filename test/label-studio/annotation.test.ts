import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Annotation, Task } from '../../label-studio/api.ts';
import { changeOf, versionOf } from '../../label-studio/annotation.ts';
import type { Counted } from '../../label-studio/annotation.ts';
import { applyReview } from '../../policy/standing.ts';
import { decide, defaultPolicy } from '../../policy/routing.ts';
import { reviewProblems } from '../../policy/validation.ts';
import { conversation } from '../fixtures.ts';

const captured = conversation({ conversation_id: 'c-1', nlu_confidence: 0.5 });
const shown = { intent: captured.nlu_intent, module: captured.nlu_module, confidence: 0.5, model_version: null };
const reviewed = { conversation_id: 'c-1', shown };
const predicted = [shown.module, shown.intent];
const AT = '2026-11-25T15:00:00.000001Z';

function annotation(
  fields: Partial<Annotation> & { label?: readonly unknown[][]; unusable?: boolean } = {},
): Annotation {
  const { label = [predicted], unusable = false, ...rest } = fields;
  const result = [
    { from_name: 'label', to_name: 'message', type: 'taxonomy', value: { taxonomy: label } },
    ...(unusable ? [{ from_name: 'use', type: 'choices', value: { choices: ['not usable'] } }] : []),
  ];
  return { id: 1, completed_by: 3, was_cancelled: false, updated_at: AT, lead_time: 1.5, result, ...rest };
}

function task(...annotations: Annotation[]): Task {
  return {
    id: 9,
    data: { conversation_id: 'c-1' },
    updated_at: '2026-11-25T16:00:00Z',
    annotations,
    draft_exists: false,
  };
}

const change = (tasks: Task, before: readonly Counted[] = []) =>
  changeOf(tasks, reviewed, before, (user) => `user ${user ?? '?'}`);

/** The reviews that these states of a task yield, and the decision after them. */
function after(...states: readonly Task[]) {
  let counted: Counted[] = [];
  let decision = decide(defaultPolicy, captured);
  const reviews = states.flatMap((state) => {
    const { reviews: now, counted: changed } = change(state, counted);
    counted = [
      ...counted.filter((one) => !changed.some(({ annotation_id: id }) => id === one.annotation_id)),
      ...changed,
    ];
    return now;
  });
  for (const review of reviews) {
    assert.deepEqual(reviewProblems(review, Date.UTC(2026, 11, 1)), []);
    decision = applyReview(decision, review);
  }
  return { decision, reviews };
}

describe('what an annotation says', () => {
  for (const [what, given, verdict, label] of [
    ['the predicted label', {}, 'approve', [null, null]],
    ['another label', { label: [['shop', 'refund_status']] }, 'correct', ['shop', 'refund_status']],
    ['the same intent in another module', { label: [['shop', shown.intent]] }, 'correct', ['shop', shown.intent]],
    ['not usable', { unusable: true }, 'reject', [null, null]],
    ['a skip, whatever was chosen', { was_cancelled: true }, 'skip', [null, null]],
    ['nothing', { label: [] }, 'skip', [null, null]],
    ['a module alone', { label: [['shop']] }, 'skip', [null, null]],
    ['two labels', { label: [predicted, ['shop', 'refund_status']] }, 'skip', [null, null]],
    ['an invalid name', { label: [['shop', '<script>']] }, 'skip', [null, null]],
    ['no result at all', { result: null }, 'skip', [null, null]],
  ] as const) {
    it(`${what} is the verdict ${verdict}`, () => {
      const { reviews } = change(task(annotation(given as Partial<Annotation>)));
      const [review] = reviews;
      assert.equal(reviews.length, 1);
      assert.equal(review?.verdict, verdict);
      assert.deepEqual([review.corrected_module, review.corrected_intent], label);
      assert.equal(review.review_id, `label-studio/1/${AT}`);
      assert.deepEqual([review.reviewer, review.time_taken_ms], ['user 3', 1500]);
    });
  }

  it('clamps a lead time to what a review can hold', () => {
    const times = [-1, -3e9, 0.4, 3e9].map(
      (lead_time) => change(task(annotation({ lead_time }))).reviews[0]?.time_taken_ms,
    );
    assert.deepEqual(times, [0, 0, 400, 2 ** 31 - 1]);
  });

  it('has the person who saved it last as its reviewer', () => {
    const by = (updated_by: number | null) => change(task(annotation({ updated_by }))).reviews[0]?.reviewer;
    assert.deepEqual([by(4), by(null)], ['user 4', 'user 3']);
  });

  it('reports in a sentence that it holds no label', () => {
    const { problems } = change(task(annotation({ label: [] })));
    assert.deepEqual(problems, ['Annotation 1 of task 9 has no readable label: nothing is chosen in `label`.']);
    assert.deepEqual(change(task(annotation({ was_cancelled: true }))).problems, []);
  });
});

describe('versions of an annotation', () => {
  it('differ below the millisecond, in any time zone', () => {
    assert.notEqual(versionOf('2026-11-25T15:00:00.000001Z').text, versionOf('2026-11-25T15:00:00.000002Z').text);
    assert.equal(versionOf('2026-11-25T20:30:00.5+05:30').text, '2026-11-25T15:00:00.500000Z');
    assert.equal(versionOf('2026-11-25T15:00:00Z').text, '2026-11-25T15:00:00.000000Z');
  });

  const changed = annotation({ updated_at: '2026-11-25T15:00:00.000002Z', label: [['shop', 'refund_status']] });
  it('count once each, and a later one replaces the earlier', () => {
    const first = task(annotation());
    const { reviews, decision } = after(first, first, task(changed), task(changed), first);
    assert.deepEqual(
      reviews.map(({ verdict, withdraws }) => [verdict, withdraws]),
      [
        ['approve', null],
        ['correct', `label-studio/1/${AT}`],
      ],
    );
    assert.equal(decision.review?.corrected_intent, 'refund_status');
  });

  it('have the time since the last counted version, where it is known', () => {
    const edited = (n: number, lead_time: number | null) =>
      task(annotation({ updated_at: `2026-11-25T15:00:0${n}Z`, lead_time }));
    const { reviews } = after(
      task(annotation()),
      edited(1, 4),
      edited(2, 3),
      edited(3, 10),
      edited(4, null),
      edited(5, 12),
    );
    assert.deepEqual(
      reviews.map(({ time_taken_ms }) => time_taken_ms),
      [1500, 2500, null, 7000, null, null],
    );
  });

  it('leave no label when the last one was skipped or deleted', () => {
    for (const last of [task(annotation({ updated_at: '2026-11-25T15:30:00Z', was_cancelled: true })), task()]) {
      const { decision } = after(task(annotation()), task(changed), last);
      assert.notEqual(decision.review_status, 'approved');
      assert.equal(decision.review_status, last.annotations.length === 0 ? 'needs_review' : 'skipped');
    }
  });

  it('yield a label when an answer replaces a skip', () => {
    const { decision } = after(task(annotation({ was_cancelled: true })), task(changed));
    assert.equal(decision.review_status, 'approved');
  });

  it('of one reviewer stay when those of another are deleted', () => {
    const second = annotation({
      id: 2,
      completed_by: 4,
      updated_at: '2026-11-25T15:40:00Z',
      label: [['shop', 'track_order']],
    });
    const { decision } = after(task(annotation(), second), task(second));
    assert.deepEqual(
      decision.answers.map(({ reviewer }) => reviewer),
      ['user 4'],
    );
  });

  it('lead to the state of the last scan, whatever the scans before it saw', () => {
    const labels = [predicted, ['shop', 'refund_status'], ['food', 'cancel_order']];
    const steps = fc.array(
      fc.record({ kind: fc.constantFrom('label', 'skip', 'delete'), label: fc.nat(2), seen: fc.nat(2) }),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(steps, (edits) => {
        let id = 1;
        let state = task();
        const scans: Task[] = [];
        edits.forEach(({ kind, label, seen }, i) => {
          const updated_at = `2026-11-25T15:00:0${i}Z`;
          if (kind === 'delete' && state.annotations.length > 0) id++;
          state =
            kind === 'delete'
              ? task()
              : task(annotation({ id, updated_at, was_cancelled: kind === 'skip', label: [labels[label] ?? []] }));
          for (let k = 0; k < seen; k++) scans.push(state); // unseen, seen, or seen twice
        });
        const last = edits.at(-1);
        const { decision, reviews } = after(...scans, state);
        const label =
          decision.review_status === 'approved'
            ? [decision.review?.corrected_module ?? shown.module, decision.review?.corrected_intent ?? shown.intent]
            : undefined;
        assert.deepEqual(label, last?.kind === 'label' ? labels[last.label] : undefined);
        const ids = reviews.map(({ review_id }) => review_id);
        assert.equal(new Set(ids).size, ids.length);
      }),
    );
  });
});
