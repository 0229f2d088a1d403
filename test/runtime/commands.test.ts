import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { demoCommand } from '../../cli/demo.ts';
import { explain } from '../../cli/explain.ts';
import { promoteCommand, rollbackCommand } from '../../cli/models.ts';
import { InputError } from '../../producers/inputs.ts';
import { UnreadableFile } from '../../producers/jsonl.ts';
import { NotPermitted, RecordTooLarge } from '../../producers/kafka-link.ts';
import { SpoolFull, SpoolUnwritable } from '../../producers/spool.ts';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');

/** What a command without servers says. */
function samvad(...args: readonly string[]) {
  return new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
    execFile(process.execPath, [bin, ...args], (error, out, err) => resolve({ code: error?.code ?? 0, out, err }));
  });
}

it('what the demo and a change of the traffic print is there as JSON too', () => {
  for (const command of [demoCommand(), promoteCommand(), rollbackCommand()])
    assert.match(command.helpInformation(), /^ +--json /m, command.name());
});

describe('a command that fails', () => {
  for (const args of [
    ['ingest', 'typo.jsonl'],
    ['demo', '--input', 'typo.jsonl'],
  ])
    it(`names a file that is not there before anything starts: ${args.join(' ')}`, async () => {
      const { code, out, err } = await samvad(...args);
      assert.deepEqual([code, out], [1, '']);
      assert.match(err, /^typo\.jsonl can't be read: ENOENT: [^\n]+\.\n$/);
    });

  for (const error of [
    new InputError([{ field: 'nlu_confidence', message: 'It must be a number from 0 to 1.' }]),
    new UnreadableFile("pipe can't be read: EIO."),
    new NotPermitted('review'),
    new RecordTooLarge('Kafka refuses the review for its size.'),
    new SpoolFull('The spool is full.', 7),
    new SpoolUnwritable("The spool can't be written: EROFS.", 30),
  ])
    it(`says a sentence and no stack trace: ${error.name}`, () => {
      assert.equal(explain(error), error.message);
    });

  it('shows the stack of what is a bug', () => {
    assert.match(explain(new TypeError('x is not a function')), /^TypeError: x is not a function\n +at /);
  });
});
