import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OUT_OF_SCOPE } from '../../trainer/learning/classifier.ts';
import { nameWords, relatives } from '../../trainer/learning/intent-names.ts';

describe('names of intents', () => {
  it('are read as words, however they are written', () => {
    assert.deepEqual(['track_order', 'trackOrder', 'track-order', 'ऑर्डर_देखो'].map(nameWords), [
      'track order',
      'track order',
      'track order',
      'ऑर्डर देखो',
    ]);
  });

  it('relate intents that share a word, across modules, but not out_of_scope', () => {
    const labels = [
      'alarm/alarm_set',
      'calendar/Set_calendar',
      'calendar/calendar_query',
      'x/of_set_of',
      `x/${OUT_OF_SCOPE}`,
    ];
    const places = relatives(
      labels.map((label) => label.split('/')).map(([module = '', intent = '']) => ({ module, intent })),
    );
    assert.deepEqual(
      places.map((group) => [...group]),
      [
        [0, 1, 3],
        [1, 2],
      ],
    );
  });
});
