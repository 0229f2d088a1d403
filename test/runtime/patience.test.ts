import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { patience, Transient } from '../../runtime/rdkafka.ts';

describe('the patience of a reader', () => {
  it('lasts for 300 empty reads of 100 ms in a row, and starts again with each record', () => {
    const waited = patience('reading a-topic');
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 300; i++) waited(0);
      waited(1);
    }
    for (let i = 0; i < 300; i++) waited(0);
    assert.throws(
      () => waited(0),
      (error) => error instanceof Transient && error.message === 'reading a-topic failed: nothing arrived for 30 s',
    );
  });
});
