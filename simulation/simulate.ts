/**
 * Plays a labelled corpus as live traffic, round by round: the version in production answers, an LLM answers what it is
 * not sure of, the pipeline routes, people review, approvals start training runs, and the next round uses the result.
 * Only the LLM and the people are simulated. Time runs as fast as the pipeline does.
 */
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { groupBy } from '../policy/group-by.ts';
import type { RoutingPolicy } from '../schemas/types.ts';
import type { Classifier } from '../serving/classifier.ts';
import { labelName } from '../trainer/learning/classifier.ts';
import type { Label } from '../trainer/learning/classifier.ts';
import { random, shuffled } from '../trainer/learning/random.ts';
import type { Sample } from '../trainer/learning/split.ts';
import { replyTo, verdictOn } from './actors.ts';
import type { Actors, Reply } from './actors.ts';
import { figuresOf } from './figures.ts';
import type { Figures, Outcome } from './figures.ts';

/** Conversations in flight at the same time. */
const AT_ONCE = 1000;

/** The pipeline's interface for a simulation. */
export interface SimulationPorts {
  readonly classifier: Pick<Classifier, 'classify'>;
  readonly policy: () => RoutingPolicy;
  readonly producer: Pick<ConversationProducer, 'captureConversation' | 'submitReview'>;
  /** Resolves when everything sent is in the tables. */
  readonly caughtUp: () => Promise<void>;
  /** Ids of the conversations that wait for a person. */
  readonly queue: () => Promise<readonly string[]>;
  /** Resolves when no training run is open or due and its version was handled; returns the version in production. */
  readonly trained: () => Promise<string>;
}

/** Options of a simulation. */
export interface SimulationOptions extends Actors {
  readonly rows: readonly Sample[];
  /** Conversations per round. */
  readonly round: number;
  readonly seed: number;
  /** Event time of the first and of the last conversation, milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
}

/** A round, and the version that was in production when it began. */
export interface Round extends Figures {
  readonly version: string;
}

/** Plays the corpus. Yields each round when it has ended; returns all outcomes by version. */
export async function* simulate(
  options: SimulationOptions,
  ports: SimulationPorts,
): AsyncGenerator<Round, ReadonlyMap<string, Figures>> {
  const { rows, round, seed, from, to } = options;
  const draw = random(seed);
  const traffic = shuffled(rows, draw);
  const labels = [...new Map(rows.map((row) => [labelName(row), row])).values()];
  const timeOf = (place: number) => new Date(Math.floor(from + ((to - from) * place) / traffic.length));
  const all: { readonly asked: string; readonly outcome: Outcome }[] = [];
  let version = await ports.trained();
  for (let start = 0; start < traffic.length; start += round) {
    const batch = traffic.slice(start, start + round);
    const replies = await answer(batch, start);
    await ports.caughtUp();
    const reviewed = await review(replies);
    await ports.caughtUp();
    const outcomes = [...replies].map(([id, { gold, reply }]) => {
      const right = labelName(gold) === labelName(reply);
      const outcome = { right, byModel: reply.provider === 'indicbert', reviewed: reviewed.has(id) };
      all.push({ asked: reply.version ?? version, outcome });
      return outcome;
    });
    yield { version, ...figuresOf(outcomes) };
    if (start + round < traffic.length) version = await ports.trained();
  }
  const byVersion = groupBy(all, ({ asked }) => asked);
  return new Map([...byVersion].map(([name, some]) => [name, figuresOf(some.map(({ outcome }) => outcome))]));

  /** Sends the replies to a batch into the log. Returns them by conversation id. */
  async function answer(batch: readonly Sample[], start: number) {
    const replies = new Map<string, { gold: Label; reply: Reply; at: Date }>();
    const policy = ports.policy();
    for (let from = 0; from < batch.length; from += AT_ONCE) {
      const part = batch.slice(from, from + AT_ONCE);
      const ids = part.map((_, i) => `simulated-${start + from + i}`);
      const answers = await ports.classifier.classify(
        part.map(({ text, language }, i) => ({ text, language, conversationId: ids[i] ?? null })),
        policy,
      );
      const sent = part.map((gold, i) => {
        const said = answers[i] ?? { version: '', problem: 'There is no answer.' };
        const [id, at] = [ids[i] ?? '', timeOf(start + from + i)];
        const reply = replyTo(said, gold, labels, options, draw);
        replies.set(id, { gold, reply, at });
        return ports.producer.captureConversation({
          conversation_id: id,
          user_message: gold.text,
          language: gold.language,
          nlu_intent: reply.intent,
          nlu_module: reply.module,
          nlu_confidence: reply.confidence,
          nlu_provider: reply.provider,
          model_version: reply.version,
          response_success: labelName(gold) === labelName(reply),
          created_at: at,
        });
      });
      await Promise.all(sent);
    }
    return replies;
  }

  /** Reviews those of `replies` that wait for a person. Returns their ids. */
  async function review(
    replies: ReadonlyMap<string, { gold: Label; reply: Reply; at: Date }>,
  ): Promise<ReadonlySet<string>> {
    const waiting = (await ports.queue()).filter((id) => replies.has(id)).sort();
    await Promise.all(
      waiting.flatMap((conversation_id) => {
        const found = replies.get(conversation_id);
        if (!found) return [];
        const verdict = verdictOn(found.reply, found.gold, labels, options, draw);
        const review = { conversation_id, ...verdict, reviewer: 'simulated', reviewed_at: found.at };
        return [ports.producer.submitReview(review)];
      }),
    );
    return new Set(waiting);
  }
}
