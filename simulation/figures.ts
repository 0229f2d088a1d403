/** The figures of a simulation. Shares are 0 to 1. */

/** What became of the conversations of one round, or of all that a version was in production for. */
export interface Figures {
  readonly conversations: number;
  /** Share of replies to users that were right, whoever gave them. */
  readonly accuracy: number;
  /** Share of the model's own replies that were right; null when it gave none. */
  readonly modelAccuracy: number | null;
  /** Share that the LLM had to answer. */
  readonly fallback: number;
  /** Share that a person was asked about. */
  readonly reviewed: number;
}

/** One conversation, after it was reviewed or found not to need it. */
export interface Outcome {
  readonly right: boolean;
  readonly byModel: boolean;
  readonly reviewed: boolean;
}

/** Sums outcomes up. */
export function figuresOf(outcomes: readonly Outcome[]): Figures {
  const share = (of: readonly Outcome[], holds: (one: Outcome) => boolean) => of.filter(holds).length / of.length;
  const own = outcomes.filter(({ byModel }) => byModel);
  return {
    conversations: outcomes.length,
    accuracy: share(outcomes, ({ right }) => right),
    modelAccuracy: own.length === 0 ? null : share(own, ({ right }) => right),
    fallback: share(outcomes, ({ byModel }) => !byModel),
    reviewed: share(outcomes, ({ reviewed }) => reviewed),
  };
}
