/** Evaluates another policy on a range of the canonical log. The only output is a report. */
import type { Servers } from '../config.ts';
import { countingAnswer, judgement, noAnswers, withReview } from '../policy/standing.ts';
import type { Answers } from '../policy/standing.ts';
import { startWhatIf } from '../policy/what-if.ts';
import type { Judgement, WhatIfOptions, WhatIfReport } from '../policy/what-if.ts';
import { readRecords, topicEnds } from '../runtime/read-topic.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import type { ConversationCaptured, ReviewSubmitted } from '../schemas/types.ts';
import { topics } from '../topology.ts';

/** The range of `created_at`, in milliseconds since 1970: `from` included, `to` excluded. */
export interface WhatIfRange {
  readonly from?: number;
  readonly to?: number;
}

/** The fields of an answer that are kept. */
type Said = Pick<ReviewSubmitted, 'verdict' | 'corrected_intent' | 'corrected_module' | 'review_id' | 'withdraws'>;

/**
 * Reads the log twice, answers first. Writes nothing, joins no group and commits no offsets. Memory grows with the
 * number of answers and erasures, not with traffic.
 * @throws Transient when Kafka does not answer.
 */
export async function whatIf(
  { servers, codecs }: { readonly servers: Pick<Servers, 'kafka'>; readonly codecs: Codecs },
  options: WhatIfOptions & WhatIfRange,
): Promise<WhatIfReport> {
  const { from = -Infinity, to = Infinity } = options;
  const log = { kafka: servers.kafka, codecs };
  const ends = await topicEnds(log.kafka, topics.conversationEvents.name);
  const answers = new Map<string, Answers<Said>>();
  const erasedIds = new Set<string>();
  for await (const { value: event } of readRecords(log, topics.conversationEvents, { ends })) {
    if (!event) continue;
    const { conversation_id, reviewed, erased } = event;
    if (erased) erasedIds.add(conversation_id);
    if (!reviewed) continue;
    const { verdict, corrected_intent, corrected_module, review_id, withdraws } = reviewed;
    const said: Said = { verdict, corrected_intent, corrected_module, review_id, withdraws };
    answers.set(conversation_id, withReview(answers.get(conversation_id) ?? noAnswers, said));
  }
  const tally = startWhatIf(options);
  for await (const { value: event } of readRecords(log, topics.conversationEvents, { ends })) {
    if (!event) continue;
    const { captured, policy } = event;
    if (!captured || erasedIds.has(captured.conversation_id)) continue;
    if (captured.created_at >= from && captured.created_at < to)
      tally.add(captured, policy, judgementOf(captured, answers.get(captured.conversation_id)));
  }
  return tally.report();
}

/**
 * Judges by the answer in force. A rejected message counts as wrong, because it must not be auto-approved as training
 * data.
 */
function judgementOf(
  conversation: ConversationCaptured,
  { answers }: Answers<Said> = noAnswers,
): Judgement | undefined {
  const counts = countingAnswer(answers);
  const said = counts === null ? undefined : judgement(counts, conversation);
  return said === 'unusable' ? 'wrong' : said;
}
