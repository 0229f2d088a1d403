/** Traffic for `npm run bench:queue`: the first labelled rows, the messages that arrive, and the test rows. */
import { OUT_OF_SCOPE } from '../trainer/learning/classifier.ts';
import { random, shuffled } from '../trainer/learning/random.ts';
import type { Sample } from '../trainer/learning/split.ts';
import { whole } from './accuracy-tasks.ts';

/** The data of one experiment. */
export interface Traffic {
  readonly name: string;
  /** Labelled rows for the first model. */
  readonly known: readonly Sample[];
  /** Messages in the order of arrival; people may be asked about them. */
  readonly stream: readonly Sample[];
  readonly test: readonly Sample[];
}

/** The set of test rows: rules are chosen on `tune`, and results are reported on `report`. */
export type Part = 'tune' | 'report';

/** The experiments, by name. */
export const experiments: Readonly<Record<string, (seed: number, part: Part) => Traffic>> = {
  /** 150 intents, equally frequent. */
  clinc150: (seed, part) => clinc('clinc150', seed, part, () => 1),
  /** The same with frequencies 1/rank, as live traffic has them. */
  'clinc150-skewed': (seed, part) => clinc('clinc150-skewed', seed, part, (rank) => 1 / rank),
  /** Real messages of a shop bot, with their original frequencies. Each part tests on one half of its test set. */
  hint3: (seed, part) => {
    const { train, test } = whole('hint3-sofmattress');
    const order = shuffled(test, random(1));
    const half = Math.floor(order.length / 2);
    const [first, second] = [order.slice(0, half), order.slice(half)];
    // The other half is part of the traffic, including its out-of-scope messages.
    const [asked, tested] = part === 'tune' ? [second, first] : [first, second];
    const all = shuffled([...train, ...asked], random(seed));
    return { name: 'hint3', known: all.slice(0, 40), stream: all.slice(40), test: inScope(tested) };
  },
};

const KNOWN = 150;
const STREAM = 1500;
const TESTED = 1500;

function clinc(name: string, seed: number, part: Part, weight: (rank: number) => number): Traffic {
  const { train, dev, test } = whole('clinc150');
  const next = random(seed);
  const intents = shuffled([...new Set(train.map(({ intent }) => intent))], random(seed));
  const total = intents.reduce((sum, _, i) => sum + weight(i + 1), 0);
  const rows = shuffled(train, random(seed));
  const taken = intents.flatMap((intent, i) => {
    const own = rows.filter((row) => row.intent === intent);
    const wanted = Math.min(own.length, Math.ceil(((KNOWN + STREAM) * weight(i + 1)) / total));
    return own.slice(0, wanted);
  });
  const all = shuffled(taken, next);
  return {
    name,
    known: all.slice(0, KNOWN),
    stream: all.slice(KNOWN),
    test: inScope(shuffled(part === 'tune' ? dev : test, random(1)).slice(0, TESTED)),
  };
}

function inScope(rows: readonly Sample[]): readonly Sample[] {
  return rows.filter(({ intent }) => intent !== OUT_OF_SCOPE);
}
