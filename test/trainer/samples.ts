/** A small generated corpus with labels, for tests of the trainer. */
import { random } from '../../trainer/learning/random.ts';
import type { Sample } from '../../trainer/learning/split.ts';

const PHRASES: Readonly<Record<string, readonly string[]>> = {
  'food/track_order': [
    'where is my order',
    'has my food left the kitchen',
    'how far is the delivery',
    'मेरा ऑर्डर कहाँ है',
  ],
  'food/cancel_order': ['cancel my order', 'i do not want the food any more', 'please stop the order', 'ऑर्डर रद्द करो'],
  'ride/book_cab': ['book a cab to the station', 'i need a taxi now', 'send me a car', 'स्टेशन के लिए गाड़ी चाहिए'],
  'ride/fare': ['how much is the ride', 'what will the taxi cost', 'fare to the airport', 'किराया कितना है'],
  'payment/refund': ['i want my money back', 'refund me', 'when do i get the refund', 'पैसे वापस चाहिए'],
  'payment/failed': ['the payment failed', 'my card was declined', 'money was taken twice', 'भुगतान नहीं हुआ'],
};
const WRAPS = ['', 'hello ', 'please ', 'hey there ', 'ok so ', 'bhai '];
const TAILS = ['', ' please', ' now', ' today', ' thanks', ' ji', ' quickly', ' for 3 people'];

/** `perIntent` rows of each of `intents` (module/intent; all of them by default), drawn by seed. */
export function samples(
  perIntent: number,
  seed = 1,
  intents: readonly string[] = Object.keys(PHRASES),
): readonly Sample[] {
  const next = random(seed);
  const pick = (items: readonly string[]) => items[Math.floor(next() * items.length)] ?? '';
  return intents.flatMap((name) => {
    const [module = '', intent = ''] = name.split('/');
    return Array.from({ length: perIntent }, () => {
      const text = `${pick(WRAPS)}${pick(PHRASES[name] ?? [])}${pick(TAILS)}`;
      return {
        text,
        intent,
        module,
        language: /\p{Script=Devanagari}/u.test(text) ? 'hi' : 'en',
        source: 'human',
      } as const;
    });
  });
}

/** Names of all intents of the corpus. */
export const intentNames = Object.keys(PHRASES);

/** Options that make a run short. */
export const quick = { hidden: 16, hiddenBesideMaxima: 12, epochs: 6 };
