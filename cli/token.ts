import { appendFile, chmod, readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { printText, progress, UsageError } from '../app/terminal.ts';
import { ConfigError } from '../config.ts';
import { roles } from '../http/roles.ts';
import { newToken, parseTokens } from '../http/tokens.ts';
import { isErrorCode, reasonOf } from '../runtime/reason.ts';

/** `samvad token`: makes tokens, which the HTTP API requires when it listens beyond this machine. */
export function tokenCommand(): Command {
  const command = new Command('token').description('tokens for the HTTP API and the pages');
  command
    .command('new')
    .description('make a token and print it; the server stores only a digest, so it can not be shown again')
    .argument('<name>', 'name of the owner; the log shows it with each action')
    .argument('<roles>', `${roles.join(', ')}, with commas between; operate includes review, review includes read`)
    .option('--file <file>', 'add its line to this file, which SAMVAD_API_TOKENS names')
    .action(async (name: string, allowed: string, { file }: { file?: string }) => {
      const made = make(name, allowed.split(','));
      if (file === undefined) {
        progress('The token, which can not be shown again:');
        printText(made.token);
        progress(`Its line for SAMVAD_API_TOKENS, or for the file that it names:\n${made.line}`);
      } else {
        await append(file, made.line);
        printText(made.token);
        progress(`Its line is in ${file}. Servers read it when they start.`);
      }
    });
  return command;
}

/** Adds `line` to `file` after checking that servers can read the result. */
async function append(file: string, line: string): Promise<void> {
  const unusable = (cause: unknown) => new UsageError(`${file} can't be used: ${reasonOf(cause)}.`, { cause });
  const before = await readFile(file, 'utf8').catch((error: unknown) => {
    if (isErrorCode(error, 'ENOENT')) return '';
    throw unusable(error);
  });
  const separator = before === '' || before.endsWith('\n') ? '' : '\n';
  try {
    parseTokens(`${before}${separator}${line}`);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message.replace('SAMVAD_API_TOKENS', file));
    throw error;
  }
  await appendFile(file, `${separator}${line}\n`, { mode: 0o600 })
    .then(() => chmod(file, 0o600))
    .catch((error: unknown) => {
      throw unusable(error);
    });
}

function make(name: string, allowed: readonly string[]): ReturnType<typeof newToken> {
  const unknown = allowed.find((role) => !(roles as readonly string[]).includes(role));
  if (unknown !== undefined)
    throw new UsageError(`There is no role ${unknown}; the roles are ${roles.join(', ')}, with commas between.`);
  try {
    return newToken(name, allowed);
  } catch (error) {
    // Only the name can be wrong. Spaces and some other characters in it are taken for the end of the name, or of the line.
    if (!(error instanceof ConfigError)) throw error;
    throw new UsageError(
      `The name ${name} is not valid: at most 64 letters, digits and . _ @ + -, starting with a letter or digit.`,
    );
  }
}
