import { appendFile, chmod, readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { progress, UsageError } from '../app/terminal.ts';
import { ConfigError } from '../config.ts';
import { roles } from '../http/roles.ts';
import { newToken, parseTokens } from '../http/tokens.ts';
import { isErrorCode } from '../runtime/reason.ts';

/** `samvad token`: what the HTTP API asks for when it listens beyond this machine. */
export function tokenCommand(): Command {
  const command = new Command('token').description('tokens for the HTTP API and the pages');
  command
    .command('new')
    .description('make a token and print it, once: the server keeps a digest only')
    .argument('<name>', 'whose it is; stands in the log for what its carrier does')
    .argument('<roles>', `${roles.join(', ')}, with commas between; operate includes review, review includes read`)
    .option('--file <file>', 'add its line to this file, which SAMVAD_API_TOKENS names')
    .action(async (name: string, allowed: string, { file }: { file?: string }) => {
      const made = make(name, allowed.split(','));
      if (file === undefined) {
        progress('The token, which can not be shown again:');
        process.stdout.write(`${made.token}\n`);
        progress(`Its line for SAMVAD_API_TOKENS, or for the file that it names:\n${made.line}`);
      } else {
        await append(file, made.line);
        process.stdout.write(`${made.token}\n`);
        progress(`Its line is in ${file}. Servers read it when they start.`);
      }
    });
  return command;
}

/** Adds `line` to `file`, where servers could read the two together. */
async function append(file: string, line: string): Promise<void> {
  const before = await readFile(file, 'utf8').catch((error: unknown) => {
    if (isErrorCode(error, 'ENOENT')) return '';
    throw error;
  });
  const separator = before === '' || before.endsWith('\n') ? '' : '\n';
  try {
    parseTokens(`${before}${separator}${line}`);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message.replace('SAMVAD_API_TOKENS', file));
    throw error;
  }
  await appendFile(file, `${separator}${line}\n`, { mode: 0o600 });
  await chmod(file, 0o600);
}

function make(name: string, allowed: readonly string[]): ReturnType<typeof newToken> {
  try {
    return newToken(name, allowed);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message.replace(/^.*?line \d+: t/, 'T'));
    throw error;
  }
}
