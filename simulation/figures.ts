/** The figures of a simulation. Shares are 0 to 1. */

/** Results for the conversations of one round, or for all conversations answered while a version was in production. */
export interface Figures {
  readonly conversations: number;
  /** Share of right replies to users, from the model and the LLM. */
  readonly accuracy: number;
  /** Share of the model's own replies that were right; null when it gave none. */
  readonly modelAccuracy: number | null;
  /** Share of replies that the LLM gave. */
  readonly fallback: number;
  /** Share of conversations that a person was asked about. */
  readonly reviewed: number;
}

/** One conversation after its review, or without one if it needed none. */
export interface Outcome {
  readonly right: boolean;
  readonly byModel: boolean;
  readonly reviewed: boolean;
}

/** Aggregates outcomes. */
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
