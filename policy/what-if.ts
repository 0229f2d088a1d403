/**
 * What another policy would have done with past conversations: an in-memory tally without I/O. Each conversation is
 * added with the policy that routed it and, if there is one, a person's judgement of its label. Memory does not grow
 * with traffic.
 */
import type { ConversationCaptured, Route } from '../schemas/types.ts';
import { effectiveNumber, wilson } from './intervals.ts';
import { drawnByChance } from './review-priority.ts';
import { answersWanted, defaultPolicy, route } from './routing.ts';
import type { RoutingPolicy, Routing } from './routing.ts';

/** A person's judgement of the model's label: `wrong` when it was corrected or rejected. */
export type Judgement = 'right' | 'wrong';

/** Options of the report. */
export interface WhatIfOptions {
  readonly policy: RoutingPolicy;
  /** Time that a person needs for an answer. */
  readonly secondsPerAnswer: number;
  /** Examples per transition; none from drawn conversations that wait for a person. */
  readonly examples: number;
}

/** Conversations by their route before and after. */
export interface Transition {
  readonly from: Route;
  readonly to: Route;
  readonly conversations: number;
  readonly examples: readonly {
    readonly conversation_id: string;
    readonly user_message: string;
    readonly nlu_module: string;
    readonly nlu_intent: string;
    readonly language: string;
    readonly nlu_confidence: number | null;
  }[];
}

/** Expected wrong labels among the auto-approved. */
export interface WrongApprovals {
  readonly auto_approved: number;
  /** Of these, in groups without a single judgement; not part of `expected`. */
  readonly unknown: number;
  /** Answers that the estimate is based on. */
  readonly judged: number;
  /** Null when none was judged. */
  readonly expected: number | null;
  /** 95 %. */
  readonly interval: readonly [low: number, high: number] | null;
}

/** Work for people. */
export interface ReviewWork {
  readonly conversations: number;
  readonly hours: number;
}

/** The report. `before` is what happened, `after` what the other policy would do. */
export interface WhatIfReport {
  readonly policy: string;
  readonly conversations: number;
  readonly transitions: readonly Transition[];
  readonly review: { readonly before: ReviewWork; readonly after: ReviewWork; readonly seconds_per_answer: number };
  readonly wrong: { readonly before: WrongApprovals; readonly after: WrongApprovals };
}

/** Adds conversations one by one. */
export interface WhatIf {
  /** `routedBy` null means the built-in policy. */
  add(conversation: ConversationCaptured, routedBy: RoutingPolicy | null, judgement: Judgement | undefined): void;
  report(): WhatIfReport;
}

/** One cell of the transition matrix. Weights are the inverse probability that a person was asked. */
interface Cell {
  readonly from: Route;
  readonly to: Route;
  readonly examples: Transition['examples'][number][];
  conversations: number;
  judged: number;
  weight: number;
  squaredWeight: number;
  wrongWeight: number;
}

/** Starts an empty tally. */
export function startWhatIf({ policy, secondsPerAnswer, examples }: WhatIfOptions): WhatIf {
  const cells = new Map<string, Cell>();
  const asked = { before: { conversations: 0, answers: 0 }, after: { conversations: 0, answers: 0 } };

  function cellOf(from: Route, to: Route): Cell {
    const name = `${from} ${to}`;
    const known = cells.get(name);
    if (known) return known;
    const none = { conversations: 0, judged: 0, weight: 0, squaredWeight: 0, wrongWeight: 0 };
    const cell: Cell = { from, to, examples: [], ...none };
    cells.set(name, cell);
    return cell;
  }

  const ask = (
    by: RoutingPolicy,
    { conversation_id }: ConversationCaptured,
    routing: Routing,
    side: keyof typeof asked,
  ) => {
    const answers = answersWanted(by, conversation_id, routing);
    if (answers > 0) asked[side].conversations++;
    asked[side].answers += answers;
    return answers > 0;
  };

  return {
    add(conversation, routedBy, judgement) {
      const inForce = routedBy ?? defaultPolicy;
      const before = route(inForce, conversation);
      const after = route(policy, conversation);
      const cell = cellOf(before.route, after.route);
      cell.conversations++;
      ask(policy, conversation, after, 'after');
      if (ask(inForce, conversation, before, 'before') && judgement) judge(cell, judgement, before);
      const blind = !judgement && waitsBlind(conversation, before);
      if (cell.examples.length < examples && !blind) cell.examples.push(exampleOf(conversation));
    },
    report() {
      const all = [...cells.values()].sort((a, b) => b.conversations - a.conversations);
      const work = ({ conversations, answers }: (typeof asked)['before']) => ({
        conversations,
        hours: (answers * secondsPerAnswer) / 3600,
      });
      return {
        policy: policy.version,
        conversations: all.reduce((sum, cell) => sum + cell.conversations, 0),
        transitions: all.map(({ from, to, conversations, examples: shown }) => ({
          from,
          to,
          conversations,
          examples: shown,
        })),
        review: { before: work(asked.before), after: work(asked.after), seconds_per_answer: secondsPerAnswer },
        wrong: {
          before: wrongAmong(all.filter(({ from }) => from === 'auto_approved')),
          after: wrongAmong(all.filter(({ to }) => to === 'auto_approved')),
        },
      };
    },
  };
}

/** Whether the model's opinion must stay hidden until a person has judged the conversation. */
function waitsBlind({ conversation_id }: ConversationCaptured, { audit }: Routing): boolean {
  return audit || drawnByChance(conversation_id);
}

/**
 * An audited answer represents 1 / propensity conversations (Horvitz and Thompson, 1952); an answer on a review route
 * only itself.
 */
function judge(cell: Cell, judgement: Judgement, { audit_propensity: chance }: Routing): void {
  const weight = 1 / (chance ?? 1);
  cell.judged++;
  cell.weight += weight;
  cell.squaredWeight += weight * weight;
  if (judgement === 'wrong') cell.wrongWeight += weight;
}

/**
 * The share of wrong labels of each cell with its Wilson interval (1927), on the effective number of answers (Kish,
 * 1965). The interval of the sum follows by the method of variance estimates recovery (Zou and Donner, 2008).
 */
function wrongAmong(cells: readonly Cell[]): WrongApprovals {
  const known = cells.filter(({ judged }) => judged > 0);
  const count = (some: readonly Cell[]) => some.reduce((sum, { conversations }) => sum + conversations, 0);
  const all = { auto_approved: count(cells), unknown: count(cells) - count(known) };
  if (known.length === 0) return { ...all, judged: 0, expected: null, interval: null };
  let [expected, below, above, judged] = [0, 0, 0, 0];
  for (const cell of known) {
    const share = cell.wrongWeight / cell.weight;
    const answers = effectiveNumber(cell.weight, cell.squaredWeight);
    const [low, high] = wilson(share * answers, answers);
    judged += cell.judged;
    expected += cell.conversations * share;
    below += (cell.conversations * (share - low)) ** 2;
    above += (cell.conversations * (high - share)) ** 2;
  }
  const interval = [
    Math.max(0, expected - Math.sqrt(below)),
    Math.min(count(known), expected + Math.sqrt(above)),
  ] as const;
  return { ...all, judged, expected, interval };
}

function exampleOf(c: ConversationCaptured): Transition['examples'][number] {
  const { conversation_id, user_message, nlu_module, nlu_intent, language } = c;
  const nlu_confidence = Number.isNaN(c.nlu_confidence) ? null : c.nlu_confidence;
  return {
    conversation_id,
    user_message: user_message.slice(0, 200),
    nlu_module,
    nlu_intent,
    language,
    nlu_confidence,
  };
}
