import { createHash } from 'node:crypto';
import { type Entity, type Message, writeGibberish, writeMessage } from './message.ts';
import type { Draw } from './random.ts';
import { type Label, confusedLabels, labels, modules } from './traffic/labels.ts';
import type { Module } from './traffic/intents.ts';
import { type Language, languages } from './traffic/languages.ts';

/** One line of conversations.jsonl, in the order in which its fields are written. */
export interface Conversation {
  readonly conversation_id: string;
  readonly user_id?: string;
  readonly session_id?: string;
  readonly user_message: string;
  readonly language: Language;
  readonly nlu_intent: string;
  readonly nlu_module: string;
  readonly nlu_confidence: number | null;
  readonly nlu_provider: 'indicbert' | 'llm' | 'other';
  readonly model_version?: string;
  readonly entities?: readonly Entity[];
  readonly routing_target: 'opensearch' | 'php' | 'other';
  readonly response_success: boolean;
  readonly processing_time_ms: number;
  readonly created_at: string;
}

/** A conversation and its true label, which only the generator knows; absent for gibberish. */
export interface Known {
  readonly conversation: Conversation;
  readonly truth?: Label;
}

/** Who writes, where and when; `at` in milliseconds since 1970, UTC. */
export interface Turn {
  readonly user?: string;
  readonly session?: string;
  readonly language: Language;
  readonly module: Module;
  readonly at: number;
}

/** A UUID that is a function of the name: SHA-256, with the version (8, custom) and variant bits of RFC 9562. */
export const uuidOf = (name: string): string => {
  const hex = createHash('sha256').update(`samvad example ${name}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

const moduleWeights: Readonly<Record<Module, number>> = {
  food: 22,
  shop: 20,
  parcel: 13,
  ride: 14,
  health: 10,
  payment: 14,
  general: 7,
};
const dayMs = 86_400_000;
const firstDay = Date.UTC(2026, 9, 1);
/** Messages by hour of Indian time, from 06:00 to 23:00: up at lunch, most in the evening. */
const hourWeights = [2, 4, 6, 7, 7, 8, 10, 11, 8, 6, 6, 7, 9, 12, 13, 10, 6, 3];
const istOffsetMs = 5.5 * 3_600_000;

const pickStart = (draw: Draw): number => {
  // 1 October 2026 is a Thursday: the days with index 2 and 3 of each week are Saturday and Sunday.
  const day = draw.weighted(
    Array.from({ length: 28 }, (_, index) => [index, index % 7 === 2 || index % 7 === 3 ? 13 : 10] as const),
  );
  const hour = draw.weighted(hourWeights.map((weight, index) => [index + 6, weight] as const));
  return firstDay + day * dayMs + hour * 3_600_000 + draw.whole(0, 3_599_999) - istOffsetMs;
};

const pickModule = (draw: Draw): Module =>
  draw.weighted(modules.map((module) => [module, moduleWeights[module]] as const));

/** At least `count` turns in sessions of one to three, ordered by time. A user keeps to one language. */
export const drawTurns = (count: number, draw: Draw): Turn[] => {
  const tags = Object.keys(languages) as Language[];
  const pickLanguage = (): Language => draw.weighted(tags.map((tag) => [tag, languages[tag].weight] as const));
  const users = Array.from({ length: 900 }, (_, index) => ({ user: `u-${1000 + index}`, language: pickLanguage() }));
  const turns: Turn[] = [];
  for (let session = 1; turns.length < count; session += 1) {
    const who = draw.chance(0.85) ? draw.pick(users) : { language: pickLanguage() };
    const named = draw.chance(0.9) ? { session: `s-${String(session).padStart(5, '0')}` } : {};
    let at = pickStart(draw);
    let module = pickModule(draw);
    for (
      let left = draw.weighted([
        [1, 60],
        [2, 25],
        [3, 15],
      ]);
      left > 0;
      left -= 1
    ) {
      turns.push({ ...who, ...named, module, at });
      at += draw.whole(20_000, 200_000);
      module = draw.chance(0.6) ? module : pickModule(draw);
    }
  }
  return turns.sort((a, b) => a.at - b.at);
};

interface Prediction {
  readonly provider: Conversation['nlu_provider'];
  readonly confidence: number | null;
  /** Probabilities that the label is wrong, that the response to the user fails, and that the message is gibberish. */
  readonly wrong: number;
  readonly failure: number;
  readonly gibberish: number;
}

const between = (low: number, high: number, draw: Draw): number =>
  Math.round((low + draw.unit() * (high - low)) * 10_000) / 10_000;

/** A prediction with its error rates: confident or doubtful IndicBERT, a language model, or another provider. */
const predict = (draw: Draw): Prediction => {
  const share = draw.unit();
  if (share < 0.62)
    return {
      provider: 'indicbert',
      confidence: between(0.8501, 0.9975, draw),
      wrong: 0.04,
      failure: 0.012,
      gibberish: 0,
    };
  if (share < 0.89) {
    const confidence = draw.weighted([
      [between(0.7, 0.85, draw), 980],
      [0.7, 9],
      [0.85, 11],
    ]);
    return { provider: 'indicbert', confidence, wrong: 0.18, failure: 0.05, gibberish: 0 };
  }
  if (share < 0.935)
    return {
      provider: 'indicbert',
      confidence: between(0.21, 0.6999, draw),
      wrong: 0.34,
      failure: 0.18,
      gibberish: 0.11,
    };
  if (share < 0.98)
    return {
      provider: 'llm',
      confidence: draw.chance(0.08) ? null : between(0.5, 0.96, draw),
      wrong: 0.34,
      failure: 0.1,
      gibberish: 0.11,
    };
  return {
    provider: 'other',
    confidence: draw.chance(0.1) ? null : between(0.35, 0.84, draw),
    wrong: 0.36,
    failure: 0.12,
    gibberish: 0.11,
  };
};

const searched = [
  'order_food',
  'restaurant_hours',
  'search_product',
  'apply_coupon',
  'book_appointment',
  'order_medicine',
];

const routeTo = ({ module, intent }: Label): Conversation['routing_target'] => {
  if (module === 'general') return 'other';
  return searched.includes(intent) ? 'opensearch' : 'php';
};

const processingTime = (provider: Conversation['nlu_provider'], draw: Draw): number => {
  if (provider === 'llm') return draw.whole(620, 2400);
  return provider === 'other'
    ? draw.whole(140, 520)
    : draw.whole(18, 60) + (draw.chance(0.05) ? draw.whole(60, 240) : 0);
};

/** A random label of this module. */
export const drawLabel = (module: Module, draw: Draw): Label =>
  draw.pick(labels.filter((label) => label.module === module));

/** Generates one turn: a label, a message for it, and the router's prediction. */
export const converse = (id: string, turn: Turn, draw: Draw): Known => {
  const truth = drawLabel(turn.module, draw);
  const { provider, confidence, wrong, failure, gibberish: nonsense } = predict(draw);
  const gibberish = draw.chance(nonsense);
  const message: Message = gibberish ? writeGibberish(draw) : writeMessage(truth, turn.language, draw);
  const mistaken = draw.chance(0.8)
    ? draw.pick(confusedLabels(truth))
    : draw.pick(labels.filter(({ module, intent }) => module !== truth.module || intent !== truth.intent));
  const guess = draw.chance(wrong) ? mistaken : truth;
  const noticed = draw.chance(0.93) ? message.entities : [];
  const conversation: Conversation = {
    conversation_id: id,
    ...(turn.user === undefined ? {} : { user_id: turn.user }),
    ...(turn.session === undefined ? {} : { session_id: turn.session }),
    user_message: message.text,
    language: turn.language,
    nlu_intent: guess.intent,
    nlu_module: guess.module,
    nlu_confidence: confidence,
    nlu_provider: provider,
    ...(provider === 'llm' ? {} : { model_version: 'router-v1.0.0' }),
    ...(noticed.length === 0 ? {} : { entities: noticed }),
    routing_target: routeTo(guess),
    response_success: !draw.chance(failure),
    processing_time_ms: processingTime(provider, draw),
    created_at: new Date(turn.at).toISOString(),
  };
  return gibberish ? { conversation } : { conversation, truth };
};

/** Whether this prediction is sure enough to be approved without a person: above 0.85, and not from a language model. */
export const isSure = ({ nlu_confidence, nlu_provider }: Conversation): boolean =>
  nlu_provider !== 'llm' && nlu_confidence !== null && nlu_confidence > 0.85;
