import { type Known, isSure } from './conversation.ts';
import type { Review } from './reviews.ts';

const countBy = <T>(list: readonly T[], nameOf: (element: T) => string): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>();
  for (const element of list) counts.set(nameOf(element), (counts.get(nameOf(element)) ?? 0) + 1);
  return counts;
};

const row = (title: string, counts: ReadonlyMap<string, number>): string =>
  `${title.padEnd(12)}${[...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(' · ')}`;

const band = ({ conversation }: Known): string => {
  if (isSure(conversation)) return 'sure';
  if (conversation.nlu_provider !== 'indicbert') return conversation.nlu_provider;
  return (conversation.nlu_confidence ?? 0) >= 0.7 ? 'unsure' : 'low';
};

const wrongShares = (known: readonly Known[]): string =>
  [...countBy(known, band).keys()]
    .sort()
    .map((name) => {
      const inBand = known.filter((entry) => band(entry) === name);
      const wrong = inBand.filter(
        ({ conversation, truth }) =>
          truth?.intent !== conversation.nlu_intent || truth.module !== conversation.nlu_module,
      );
      return `${name} ${((100 * wrong.length) / inBand.length).toFixed(1)} %`;
    })
    .join(' · ');

/** The counts that examples/README.md quotes. Redelivered, contradicting and malformed lines count only in `lines`. */
export const describe = (known: readonly Known[], lines: readonly string[], reviews: readonly Review[]): string => {
  const all = known.map(({ conversation }) => conversation);
  return [
    `conversations ${all.length} · lines ${lines.length} · distinct texts ${new Set(all.map((one) => one.user_message)).size} · reviews ${reviews.length}`,
    row(
      'module',
      countBy(all, (one) => one.nlu_module),
    ),
    row(
      'language',
      countBy(all, (one) => one.language),
    ),
    row(
      'provider',
      countBy(all, (one) => one.nlu_provider),
    ),
    row('prediction', countBy(known, band)),
    `${'wrong'.padEnd(12)}${wrongShares(known)}`,
    row(
      'route',
      countBy(all, (one) => one.routing_target),
    ),
    row(
      'verdict',
      countBy(reviews, (one) => one.verdict),
    ),
  ].join('\n');
};
