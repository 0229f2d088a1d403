import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { intents } from '../../examples/traffic/intents.ts';
import {
  configProblems,
  isReadable,
  isUnconfigured,
  labelsOf,
  withLabels,
} from '../../label-studio/labelling-config.ts';

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

  it('gains the further labels of traffic, and is otherwise unchanged', () => {
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
  const written = `<View>
  <!-- <Taxonomy name="label"><Choice value="old"/></Taxonomy> -->
  <Taxonomy toName="message" name='label' placeholder="a > b" leafsOnly="true">
    <Choice value="food" hint="what's eaten > drunk" background="#fff">
      <Choice value="track_order" alias="where_is_it" hotkey="t"></Choice>
      <Choice value="refund"><Choice value="third level"/></Choice>
    </Choice>
    <Choice value='ride' hint="/"/><Choice value="shop"><Choice value="a &amp; b"/></Choice>
  </Taxonomy>
  <TextArea name="note" toName="message"/>
</View>
`;

  it('keeps what its author wrote, apart from additions', () => {
    const complete = withLabels(
      written,
      new Map([
        ['food', new Set(['where_is_it', 'refund', 'tip'])],
        ['ride', new Set(['cancel'])],
        ['shop', new Set(['a & b', 'c'])],
        ['bill', new Set(['pay'])],
      ]),
    );
    assert.equal(
      complete,
      written
        .replace('level"/></Choice>\n', (same) => `${same}      <Choice value="tip" />\n`)
        .replace(`hint="/"/>`, `hint="/">\n      <Choice value="cancel" />\n    </Choice>`)
        .replace('b"/></Choice>\n', 'b"/><Choice value="c" /></Choice>\n')
        .replace('  </Taxonomy>\n  <TextArea', (same) => {
          const bill = '    <Choice value="bill">\n      <Choice value="pay" />\n    </Choice>\n';
          return bill + same;
        }),
    );
    assert.deepEqual(
      [...labelsOf(complete)].map(([module, intents]) => [module, ...intents]),
      [
        ['food', 'track_order', 'refund', 'tip'],
        ['ride', 'cancel'],
        ['shop', 'a & b', 'c'],
        ['bill', 'pay'],
      ],
    );
  });

  it("that can't be read is left alone", () => {
    for (const broken of [
      written.replace('</View>', ''),
      written.replace('hotkey="t"', 'hotkey="t'),
      written.replace('</Taxonomy>\n  <TextArea', '<TextArea'),
      written.replace("name='label'", "name='another'"),
      written.replace('a > b', 'a < b" <'),
    ])
      assert.deepEqual([isReadable(broken), withLabels(broken, new Map([['x', new Set(['y'])]]))], [false, undefined]);
    assert.equal(isReadable(written), true);
  });

  it('without choices gains some', () => {
    const complete = withLabels(
      '<View><Taxonomy name="label" toName="message"/></View>',
      new Map([['m', new Set(['i'])]]),
    );
    assert.deepEqual([...labelsOf(complete ?? '')], [['m', new Set(['i'])]]);
  });

  it('may have other controls', () => {
    assert.deepEqual(
      configProblems({ parsed_label_config: { ...controls, note: { type: 'TextArea', to_name: ['message'] } } }),
      [],
    );
  });

  it("that can't give answers is explained in words", () => {
    assert.deepEqual(configProblems({ parsed_label_config: { label: { type: 'Choices', to_name: ['text'] } } }), [
      'it has no <Taxonomy name="label">',
      '`label` is not about <Text name="message">',
    ]);
  });

  it('that is empty counts as unconfigured', () => {
    const project = { id: 1, title: 'New Project #1', parsed_label_config: {} };
    assert.equal(isUnconfigured({ ...project, label_config: '<View></View>' }), true);
    assert.equal(isUnconfigured({ ...project, label_config: '<View><Text name="t" value="$t"/></View>' }), false);
  });
});
