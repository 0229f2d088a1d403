import { bnOrders } from './bn/orders.ts';
import { bnServices } from './bn/services.ts';
import { bnWords } from './bn/words.ts';
import { enOrders } from './en/orders.ts';
import { enServices } from './en/services.ts';
import { enWords } from './en/words.ts';
import { hiOrders } from './hi/orders.ts';
import { hiServices } from './hi/services.ts';
import { hiWords } from './hi/words.ts';
import { hiLatnOrders } from './hi-latn/orders.ts';
import { hiLatnServices } from './hi-latn/services.ts';
import { hiLatnWords } from './hi-latn/words.ts';
import type { Orders, Services, Words } from './intents.ts';
import { knOrders } from './kn/orders.ts';
import { knServices } from './kn/services.ts';
import { knWords } from './kn/words.ts';
import { mrOrders } from './mr/orders.ts';
import { mrServices } from './mr/services.ts';
import { mrWords } from './mr/words.ts';
import { taOrders } from './ta/orders.ts';
import { taServices } from './ta/services.ts';
import { taWords } from './ta/words.ts';
import { teOrders } from './te/orders.ts';
import { teServices } from './te/services.ts';
import { teWords } from './te/words.ts';

interface Traffic {
  /** Relative share of users who write in this language. */
  readonly weight: number;
  readonly patterns: Orders & Services;
  readonly words: Words;
}

/** Patterns and words by BCP 47 language tag. */
export const languages = {
  en: { weight: 26, patterns: { ...enOrders, ...enServices }, words: enWords },
  hi: { weight: 18, patterns: { ...hiOrders, ...hiServices }, words: hiWords },
  'hi-Latn': { weight: 22, patterns: { ...hiLatnOrders, ...hiLatnServices }, words: hiLatnWords },
  ta: { weight: 9, patterns: { ...taOrders, ...taServices }, words: taWords },
  bn: { weight: 7, patterns: { ...bnOrders, ...bnServices }, words: bnWords },
  mr: { weight: 6, patterns: { ...mrOrders, ...mrServices }, words: mrWords },
  te: { weight: 7, patterns: { ...teOrders, ...teServices }, words: teWords },
  kn: { weight: 5, patterns: { ...knOrders, ...knServices }, words: knWords },
} as const satisfies Record<string, Traffic>;

export type Language = keyof typeof languages;
