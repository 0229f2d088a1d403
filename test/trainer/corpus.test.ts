import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CorpusError, readCorpus } from '../../trainer/data-set/corpus.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-corpus-'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function fileOf(name: string, content: string | Buffer): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, content);
  return file;
}
const lines =
  '{"text":"where is it","intent":"track","module":"food","language":"en","source":"auto","confidence":0.9}\n' +
  '\n{"text":"कहाँ है","intent":"oos","domain":"food","lang":"hi","id":7}\r\n{"text":"x","intent":"y"}';

describe('a corpus', () => {
  it('has rows from the field names of an export or of other corpora, and their counts', async () => {
    const { rows, manifest } = await readCorpus(await fileOf('a.jsonl', lines));
    assert.deepEqual(rows, [
      { text: 'where is it', intent: 'track', module: 'food', language: 'en', source: 'auto' },
      { text: 'कहाँ है', intent: 'out_of_scope', module: 'food', language: 'hi', source: 'human', translationId: '7' },
      { text: 'x', intent: 'y', module: 'default', language: 'und', source: 'human' },
    ]);
    assert.deepEqual(manifest.by_intent, { out_of_scope: 1, track: 1, y: 1 });
    assert.equal(manifest.rows, 3);
  });

  it('has personal data masked, like data from the log', async () => {
    const { rows } = await readCorpus(await fileOf('masked.jsonl', '{"text":"call 9876543210","intent":"call_me"}'));
    assert.equal(rows[0]?.text, 'call <phone>');
  });

  it('has texts and labels in composed form, like a data set', async () => {
    const row = { text: 'cafe\u0301', intent: 'e\u0301', module: 'e\u0301' };
    const { rows } = await readCorpus(await fileOf('decomposed.jsonl', JSON.stringify(row)));
    assert.deepEqual([rows[0]?.text, rows[0]?.intent, rows[0]?.module], ['caf\u00e9', '\u00e9', '\u00e9']);
  });

  it('counts intents such as toString like any other', async () => {
    const { manifest } = await readCorpus(await fileOf('names.jsonl', '{"text":"a","intent":"toString"}'));
    assert.deepEqual(manifest.by_intent, { toString: 1 });
  });

  it('may be compressed, and has the same rows then', async () => {
    const [plain, packed] = [
      await readCorpus(await fileOf('b.jsonl', lines)),
      await readCorpus(await fileOf('b.jsonl.gz', gzipSync(lines))),
    ];
    assert.deepEqual(packed.rows, plain.rows);
    assert.equal(packed.manifest.sha256, plain.manifest.sha256);
  });

  for (const [name, content, pattern] of [
    ['has no lines', '\n', /has no lines/],
    ['has a line that is not JSON', '{"text":"a","intent":"b"}\n{', /^Line 2 of .*: it is not JSON/],
    ['has a line that is a list', '[]', /Line 1 .*not a JSON object/],
    ['has a line without an intent', '{"text":"a"}', /it has no intent/],
    ['has a number for a text', '{"text":1,"intent":"b"}', /text is not a string/],
    ['is not UTF-8', Buffer.from([0x7b, 0xff, 0x0a]), /not UTF-8/],
  ] as const)
    it(`is refused with the reason when it ${name}`, async () => {
      const file = await fileOf('bad.jsonl', content);
      await assert.rejects(readCorpus(file), (error: unknown) => {
        assert.ok(error instanceof CorpusError);
        assert.match(error.message, pattern);
        return true;
      });
    });

  it('is refused when it is missing, or its compression is damaged', async () => {
    await assert.rejects(readCorpus(path.join(folder, 'none.jsonl')), /none\.jsonl can't be read/);
    await assert.rejects(readCorpus(await fileOf('c.jsonl.gz', 'no gzip')), /c\.jsonl\.gz can't be read/);
  });

  it('is refused when its compressed bytes are cut off, without an error that nobody catches', async () => {
    const packed = gzipSync(lines.repeat(20));
    for (let length = 1; length < 60; length++) {
      const file = await fileOf('cut.jsonl.gz', packed.subarray(0, length));
      await assert.rejects(readCorpus(file), (error) => error instanceof CorpusError && /cut/.test(error.message));
    }
  });
});
