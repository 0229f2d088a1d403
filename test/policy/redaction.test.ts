import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { redact, redactText } from '../../policy/redaction.ts';
import { random } from '../../trainer/learning/random.ts';
import { conversation } from '../fixtures.ts';

describe('redactText', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['mail me at a.b+c@example.co.in please', 'mail me at <email> please'],
    ['मेरा पता यूज़र@उदाहरण.भारत है, यूज़र@okbank', 'मेरा पता <email> है, <upi>'],
    ['call 9876500001 now', 'call <phone> now'],
    ['मेरा नंबर +91 98765 00001 है', 'मेरा नंबर <phone> है'],
    ['pay asha@okbank', 'pay <upi>'],
    ['card 4111 1111 1111 1111', 'card <card>'],
    ['aadhaar 2345 6789 0123', 'aadhaar <aadhaar>'],
    ['order 4521 of ₹1,250', 'order 4521 of ₹1,250'],
    ['order 123456789012', 'order 123456789012'],
  ];
  for (const [text, masked] of cases) it(text, () => assert.equal(redactText(text), masked));

  /** The digit zero of each script that users of a service in India write; the last two are outside the Basic Multilingual Plane. */
  const scripts = {
    Devanagari: '०',
    Bengali: '০',
    Gurmukhi: '੦',
    Gujarati: '૦',
    Odia: '୦',
    Tamil: '௦',
    Telugu: '౦',
    Kannada: '೦',
    Malayalam: '൦',
    'Ol Chiki': '᱐',
    'Meetei Mayek': '꯰',
    'Arabic-Indic': '٠',
    'extended Arabic-Indic': '۰',
    'full-width': '０',
    Tirhuta: '𑓐',
    Chakma: '𑄶',
  };
  for (const [script, zero] of Object.entries(scripts))
    it(`masks numbers in ${script} digits, and leaves order numbers as they are written`, () => {
      const written = (text: string) =>
        text.replaceAll(/[0-9]/g, (digit) => String.fromCodePoint((zero.codePointAt(0) ?? 0) + Number(digit)));
      for (const [text, masked] of cases) assert.equal(redactText(written(text)), written(masked));
      const sent = 'मेरा नंबर 9876543210 है, आधार 2345-6789-0123, कार्ड 4111111111111111, ऑर्डर 1234567890';
      assert.equal(
        redactText(written(sent)),
        `मेरा नंबर <phone> है, आधार <aadhaar>, कार्ड <card>, ऑर्डर ${written('1234567890')}`,
      );
    });

  it('masks a number in digits of two scripts, and one after a full-width plus', () => {
    assert.equal(redactText('call ९८७६५43210 or ＋９１９８７６５４３２１０'), 'call <phone> or <phone>');
  });

  it('masks the same addresses as a search that starts at every character', () => {
    const addresses = [
      ['<email>', /[\p{L}\p{M}\p{N}._%+-]+@[\p{L}\p{M}\p{N}-]+(?:\.[\p{L}\p{M}\p{N}-]+)+/gu],
      ['<upi>', /[\p{L}\p{M}\p{N}._-]{2,}@[A-Za-z]{2,}/gu],
    ] as const;
    const next = random(1);
    const letters = Array.from('aaबि7😀@@@@..._-+ ,');
    for (let i = 0; i < 20_000; i++) {
      const text = Array.from({ length: 14 }, () => letters[Math.floor(next() * letters.length)]).join('');
      assert.equal(
        redactText(text),
        addresses.reduce((masked, [mask, one]) => masked.replace(one, mask), text),
        text,
      );
    }
  });

  for (const part of ['क', 'x', '7', '९', '𑓙', '९८७६ ', 'a.', 'a@', 'a@b.'])
    it(`masks a message full of "${part}" within a second of processor time`, () => {
      const text = part.repeat(32_768 / part.length);
      const before = process.cpuUsage();
      redactText(text);
      const { user } = process.cpuUsage(before);
      assert.ok(user < 1_000_000, `${String(user / 1000)} ms`);
    });
});

describe('redact', () => {
  it('leaves a conversation without personal data as it is', () => {
    const sent = conversation();
    assert.equal(redact(sent), sent);
  });
  it('masks entity values and drops spans that no longer fit', () => {
    const sent = conversation({
      user_message: 'I am at a@example.com for order 77',
      entities: [
        { name: 'email', value: 'a@example.com', start: 8, end: 21 },
        { name: 'order_id', value: '77', start: 32, end: 34 },
      ],
    });
    const kept = redact(sent);
    assert.equal(kept.user_message, 'I am at <email> for order 77');
    assert.deepEqual(kept.entities, [
      { name: 'email', value: '<email>', start: null, end: null },
      { name: 'order_id', value: '77', start: null, end: null },
    ]);
  });
  it('masks an entity whose digits the message spells out, and leaves the others', () => {
    const date = { name: 'date', value: '2026-11-28', start: 29, end: 37 };
    const sent = conversation({
      user_message: 'call nine eight seven double… tomorrow',
      entities: [{ name: 'phone', value: '9876500001', start: 5, end: 29 }, date],
    });
    const kept = redact(sent);
    assert.equal(kept.user_message, sent.user_message);
    assert.deepEqual(kept.entities, [{ name: 'phone', value: '<phone>', start: 5, end: 29 }, date]);
  });
});
