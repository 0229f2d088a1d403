import type { Draw } from '../random.ts';
import type { Words } from './intents.ts';

/** A filled slot: the entity name that goes into the record, and the text. */
export interface Filled {
  readonly entity: string;
  readonly text: string;
}

const digits = (draw: Draw, count: number): string => Array.from({ length: count }, () => draw.whole(0, 9)).join('');

const rupees = (draw: Draw): string => {
  const value = draw.pick([draw.whole(4, 60) * 5 - 1, draw.whole(2, 30) * 50, draw.whole(10, 48) * 100 - 1]);
  const grouped =
    value >= 1000 ? `${Math.floor(value / 1000)},${String(value % 1000).padStart(3, '0')}` : String(value);
  return draw.weighted([
    [`₹${grouped}`, 7],
    [`Rs ${value}`, 2],
    [`Rs.${value}`, 1],
  ]);
};

/** Phone numbers, addresses and UPI ids are made up: 98765000nn, example.com and bank handles that no bank has. */
const phone = (draw: Draw): string => {
  const end = String(draw.whole(1, 99)).padStart(2, '0');
  return draw.weighted([
    [`98765000${end}`, 7],
    [`+91 98765000${end}`, 2],
    [`98765 000${end}`, 1],
  ]);
};

/** Slots whose text is the same in every language. */
const written: Readonly<Record<string, (draw: Draw) => Filled>> = {
  qty: (draw) => ({ entity: 'quantity', text: String(draw.whole(2, 5)) }),
  minutes: (draw) => ({ entity: 'minutes', text: String(draw.whole(4, 18) * 5) }),
  days: (draw) => ({ entity: 'days', text: draw.pick(['28', '56', '84', '365']) }),
  weight: (draw) => ({ entity: 'weight', text: draw.pick(['500 g', '2 kg', '3kg', '5 kg', '8 kg', '10kg', '750 gm']) }),
  amount: (draw) => ({ entity: 'amount', text: rupees(draw) }),
  order_id: (draw) => ({
    entity: 'order_id',
    text: draw.pick([`SV${digits(draw, 6)}`, `#${digits(draw, 7)}`, `SH-${digits(draw, 5)}`, `OD${digits(draw, 8)}`]),
  }),
  tracking_id: (draw) => ({ entity: 'tracking_id', text: `PX${digits(draw, 8)}IN` }),
  coupon: (draw) => ({
    entity: 'coupon',
    text: draw.pick(['FIRST50', 'SAVE100', 'FEST20', 'NEW75', 'MONSOON15', 'WELCOME']),
  }),
  phone: (draw) => ({ entity: 'phone', text: phone(draw) }),
  email: (draw) => ({
    entity: 'email',
    text: `${draw.pick(['asha.test', 'user', 'demo.ravi', 'customer'])}${draw.whole(1, 99)}@example.com`,
  }),
  upi_id: (draw) => ({
    entity: 'upi_id',
    text: `${draw.pick(['demo', 'shop', 'test.user'])}${draw.whole(1, 99)}@${draw.pick(['examplebank', 'exampleupi'])}`,
  }),
};

/** Slots filled from the words of a language; a second slot of a kind gets another word than the first. */
const worded: Readonly<Record<string, { readonly entity: string; readonly words: keyof Words }>> = {
  dish: { entity: 'dish', words: 'dish' },
  dish2: { entity: 'dish', words: 'dish' },
  restaurant: { entity: 'restaurant', words: 'restaurant' },
  product: { entity: 'product', words: 'product' },
  place: { entity: 'place', words: 'place' },
  pickup: { entity: 'pickup', words: 'place' },
  drop: { entity: 'drop', words: 'place' },
  city: { entity: 'city', words: 'city' },
  city2: { entity: 'city', words: 'city' },
  day: { entity: 'day', words: 'day' },
  past_day: { entity: 'day', words: 'past_day' },
  time: { entity: 'time', words: 'time' },
  specialty: { entity: 'specialty', words: 'specialty' },
  medicine: { entity: 'medicine', words: 'medicine' },
  medicine2: { entity: 'medicine', words: 'medicine' },
  test: { entity: 'test', words: 'test' },
  bill: { entity: 'bill', words: 'bill' },
  item: { entity: 'item', words: 'item' },
};

/** Fills one slot. `used` lists the texts already in this sentence. Throws for a slot that neither table has. */
export const fillSlot = (slot: string, words: Words, used: readonly string[], draw: Draw): Filled => {
  const make = written[slot];
  if (make) return make(draw);
  const source = worded[slot];
  if (!source)
    throw new Error(
      `A pattern in examples/traffic has the unknown slot {${slot}}; add it to traffic/slots.ts or correct the pattern.`,
    );
  return { entity: source.entity, text: draw.pick(words[source.words].filter((word) => !used.includes(word))) };
};
