import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');

describe('samvad review', { timeout: 300_000 }, () => {
  let reviewing: Reviewing;
  before(async () => {
    reviewing = await startReviewing();
  });
  after(() => reviewing.stop());

  /** Runs the command and pipes `lines` into it: at once, or after `meanwhile`, which runs when the first item is shown and may type lines. */
  function review(
    args: readonly string[],
    lines: readonly string[] = [],
    meanwhile?: (type: (line: string) => void) => Promise<unknown>,
  ) {
    const env = { ...process.env, ...reviewing.stack.env };
    return new Promise<{ code: number; out: string; err: string }>((resolve) => {
      const child = execFile(process.execPath, [bin, 'review', ...args], { env }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code), out, err }),
      );
      const say = () => child.stdin?.end(lines.map((line) => `${line}\n`).join(''));
      if (meanwhile)
        child.stdout?.once('data', () => void meanwhile((line) => child.stdin?.write(`${line}\n`)).then(say));
      else say();
    });
  }

  const answersOf = async (reviewer: string) => {
    await reviewing.caughtUp();
    const { rows } = await reviewing.stack.prepared.pool.query<Record<'id' | 'said', string>>(
      `SELECT conversation_id AS id, concat_ws(' ', verdict, corrected_module, corrected_intent) AS said
         FROM standing_reviews WHERE reviewer = $1 AND source = 'cli' ORDER BY log_offset`,
      [reviewer],
    );
    return new Map(rows.map(({ id, said }) => [id, said]));
  };

  it('accepts every verdict from a pipe, explains what it does not accept, and undoes answers in turn', async () => {
    await reviewing.capture([
      { conversation_id: 'label', nlu_module: 'line', nlu_intent: 'wrong_item', nlu_confidence: 0.95 },
      ...['Where is it?', 'Too late.', 'Cold food.', 'Who pays?', 'Wrong dish.'].map((user_message, i) => ({
        conversation_id: `line-${i}`,
        user_message,
        nlu_module: 'line',
        runners_up: [{ module: 'line', intent: 'wrong_item', confidence: 0.1 }],
      })),
    ]);
    const lines = [
      ...['what?', 'a now', '', '9'], // none of these answers anything
      ...['c wrong', 'c line/wrong_itm', 'c line/', 'a'],
      ...['c line/wrong_item', 'u', 'c + line/brand/new', 'r', '1', 'u', 'u', 's', 'r', 'a', 's'],
    ];
    const { code, out, err } = await review(['--reviewer', 'asha', '--module', 'line'], lines);
    assert.equal(code, 0, err);
    assert.match(out, /Labels with “wrong”: line\/wrong_item\n/);
    assert.match(
      out,
      /The label line\/wrong_itm is not in use yet\. Labels of line: line\/track_order, line\/wrong_item\./,
    );
    assert.equal(out.split('c MODULE/INTENT').length - 1, 4, 'the help for each of the first four lines');
    assert.match(out, /Taken back\.\n\n.*\n/);
    assert.match(out, /or rather: 1 line\/wrong_item/);
    assert.match(out, /Nothing waits\.\n5 answers given\.\n$/);
    const said = [...(await answersOf('asha')).values()].sort();
    assert.deepEqual(said, ['approve', 'approve', 'correct line brand/new', 'reject', 'skip']);
  });

  it('continues with the next item when the shown one was erased', async () => {
    await reviewing.capture(
      ['Where?', 'When?', 'Who?'].map((user_message, i) => ({
        conversation_id: `gone-${i}`,
        user_message,
        nlu_module: 'gone',
      })),
    );
    const { pool } = reviewing.stack.prepared;
    const erase = async () => {
      await pool.query("INSERT INTO erasures VALUES ('gone-0', 'meera', 'case 17', now(), 0, 0)");
      await pool.query("DELETE FROM review_queue WHERE conversation_id = 'gone-0'");
    };
    const { code, out } = await review(
      ['--reviewer', 'asha', '--module', 'gone', '--first', 'gone-0'],
      ['a', 'r', 'a', 's'],
      erase,
    );
    assert.equal(code, 0);
    assert.equal(out.split('was erased').length - 1, 1, out);
    assert.match(out, /Nothing waits\.\n2 answers given\.\n$/);
  });

  it('undoes the answers to several items at once, except to an erased one, and keeps the shown item', async () => {
    const runners_up = [{ module: 'half', intent: 'gone/x', confidence: 0.1 }];
    const of = { nlu_module: 'half/gone', nlu_intent: 'x', runners_up };
    await reviewing.capture(
      ['Is it here?', 'Is it here?', 'And now?'].map((user_message, i) => ({
        ...of,
        conversation_id: `half-${i}`,
        user_message,
      })),
    );
    const { code, out } = await review(
      ['--reviewer', 'uma', '--module', 'half/gone', '--first', 'half-0'],
      ['u', '1', 'r'],
      async (type) => {
        type('a');
        while ((await answersOf('uma')).size < 2) await sleep(50);
        await reviewing.stack.prepared.pool.query(
          "INSERT INTO erasures VALUES ('half-1', 'meera', 'case 18', now(), 0, 0)",
        );
      },
    );
    assert.equal(code, 0);
    assert.match(out, /2 at once.*Taken back\..*Corrected to half\/gone\/x\..*Rejected.*\n2 answers given\.\n$/s);
    const said = await answersOf('uma');
    assert.deepEqual([said.get('half-0'), said.get('half-2')], ['correct half gone/x', 'reject']);
  });

  it('says what is wrong with a request, and begins with the requested conversation', async () => {
    await reviewing.capture(
      ['First?', 'Second!', 'Third.'].map((user_message, i) => ({
        conversation_id: `wish-${i}`,
        user_message: `${user_message}\u001b[2J`,
        nlu_module: 'wish',
      })),
    );
    const wish = ['--reviewer', 'ravi', '--module', 'wish'];
    const { out } = await review([...wish, '--first', 'wish-2'], ['r']);
    assert.match(out, /^Third\./);
    assert.ok(!out.includes('\u001b[2J') && out.includes('␛[2J'), 'a message does not control the terminal');
    assert.deepEqual([...(await answersOf('ravi'))], [['wish-2', 'reject']]);
    assert.match((await review([...wish, '--first', 'wish-2'])).out, /^wish-2 does not wait for you: it was answered/);
    assert.match((await review([...wish, '--first', 'nobody'], ['q'])).out, /^nobody does not wait for you/);
    for (const [args, sentence] of [
      [['--route', 'nonsense'], /Allowed choices are needs-review, priority-review/],
      [['--reviewer', ''], /--reviewer: /],
    ] as const) {
      const refused = await review(args);
      assert.ok(refused.code !== 0 && refused.out === '');
      assert.match(refused.err, sentence);
    }
    const { items } = JSON.parse((await review(['--list', '--json', '--module', 'wish'])).out) as {
      items: { conversation_id: string }[];
    };
    assert.deepEqual(items.map(({ conversation_id: id }) => id).sort(), ['wish-0', 'wish-1']);
    assert.equal((await review(['--list', '--module', 'nothing'])).out, 'Nothing waits.\n');
  });
});
