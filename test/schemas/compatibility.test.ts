import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Schema } from 'avsc';
import { incompatibilities } from '../../schemas/compatibility.ts';
import { schemas } from '../../schemas/types.ts';

type Fields = { name: string; type: unknown; default?: unknown }[];

function changed(edit: (fields: Fields) => Fields): string[] {
  const before = JSON.parse(schemas.ConversationCaptured) as { fields: Fields };
  return incompatibilities(
    before as unknown as Schema,
    { ...before, fields: edit(structuredClone(before.fields)) } as unknown as Schema,
  );
}

describe('incompatibilities', () => {
  it('is empty for the same schema and for a new field with a default', () => {
    assert.deepEqual(
      changed((fields) => fields),
      [],
    );
    assert.deepEqual(
      changed((fields) => [...fields, { name: 'channel', type: ['null', 'string'], default: null }]),
      [],
    );
  });
  it('names a new field without a default', () => {
    const [problem] = changed((fields) => [...fields, { name: 'channel', type: 'string' }]);
    assert.match(problem ?? '', /ConversationCaptured: channel is missing .* no default/);
  });
  it('names a field whose type changed, in both directions', () => {
    const problems = changed((fields) => fields.map((f) => (f.name === 'language' ? { ...f, type: 'int' } : f)));
    assert.equal(problems.length, 2);
    assert.match(problems[0] ?? '', /ConversationCaptured\.language: string became int/);
  });
  it('names a removed field that has no default', () => {
    assert.match(changed((fields) => fields.filter((f) => f.name !== 'nlu_intent'))[0] ?? '', /nlu_intent/);
  });
  it('allows a new enum symbol, because the enum has a default', () => {
    const grow = (fields: Fields) =>
      fields.map((f) =>
        f.name === 'nlu_provider'
          ? { ...f, type: { ...(f.type as object), symbols: ['indicbert', 'llm', 'other', 'rules'] } }
          : f,
      );
    assert.deepEqual(changed(grow), []);
  });
  it('names a branch that was removed from a union', () => {
    assert.match(
      changed((fields) => fields.map((f) => (f.name === 'user_id' ? { ...f, type: ['null'] } : f)))[0] ?? '',
      /user_id: string is in no branch/,
    );
  });
});
