import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { intents } from '../../examples/traffic/intents.ts';
import { configProblems, isUnconfigured, labelsOf, withLabels } from '../../label-studio/labelling-config.ts';

const file = path.join(import.meta.dirname, '..', '..', 'label-studio-config.xml');
const controls = {
  label: { type: 'Taxonomy', to_name: ['message'] },
  use: { type: 'Choices', to_name: ['message'] },
};

describe("the repository's labelling configuration", async () => {
  const xml = await readFile(file, 'utf8');

  it('offers the intents of the examples', () => {
    const labels = Object.fromEntries([...labelsOf(xml)].map(([module, names]) => [module, [...names]]));
    assert.deepEqual(labels, intents);
  });

  it('gets what traffic has besides, and stays as it is otherwise', () => {
    const wanted = new Map([
      ['food', new Set(['track_order', 'tip_rider'])],
      ['a "new" <module>', new Set(['x & y'])],
    ]);
    const complete = withLabels(xml, wanted);
    assert.ok(complete);
    const labels = labelsOf(complete);
    assert.deepEqual([...(labels.get('food') ?? [])], [...intents.food, 'tip_rider']);
    assert.deepEqual([...(labels.get('a "new" <module>') ?? [])], ['x & y']);
    assert.equal(withLabels(complete, wanted), undefined);
    const outside = (text: string) => text.replace(/<Taxonomy[\s\S]*<\/Taxonomy>/, '');
    assert.equal(outside(complete), outside(xml));
  });
});

describe('a configuration of a project', () => {
  it('without choices gets some', () => {
    const complete = withLabels(
      '<View><Taxonomy name="label" toName="message"/></View>',
      new Map([['m', new Set(['i'])]]),
    );
    assert.deepEqual([...labelsOf(complete ?? '')], [['m', new Set(['i'])]]);
  });

  it('may have other controls beside', () => {
    assert.deepEqual(
      configProblems({ parsed_label_config: { ...controls, note: { type: 'TextArea', to_name: ['message'] } } }),
      [],
    );
  });

  it('that answers can not be read from is told in words', () => {
    assert.deepEqual(configProblems({ parsed_label_config: { label: { type: 'Choices', to_name: ['text'] } } }), [
      'it has no <Taxonomy name="label">',
      '`label` is not about <Text name="message">',
    ]);
  });

  it('that is empty is one that nobody has made', () => {
    const project = { id: 1, title: 'New Project #1', parsed_label_config: {} };
    assert.equal(isUnconfigured({ ...project, label_config: '<View></View>' }), true);
    assert.equal(isUnconfigured({ ...project, label_config: '<View><Text name="t" value="$t"/></View>' }), false);
  });
});
