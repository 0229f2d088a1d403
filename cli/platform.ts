import { Command } from 'commander';
import { findEnvironment } from '../app/environment.ts';
import { columns, print, printText, progress } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { platformStatus, startPlatform, stopPlatform } from '../platform/platform.ts';
import { serverNames } from '../platform/server.ts';

/** `samvad platform`: the embedded servers without the components. */
export function platformCommand(): Command {
  const command = new Command('platform').description(
    'the embedded Kafka, schema registry and Postgres, without the components',
  );
  command
    .command('start')
    .description('start them in the background')
    .action(async () => {
      const { home, cache } = readConfig();
      await startPlatform({ home, cache, servers: new Set(serverNames), detached: true, progress });
      progress('Ready. `eval "$(npx samvad platform env)"` sets the variables; `npx samvad platform stop` stops them.');
    });
  command
    .command('stop')
    .description('stop them')
    .action(() => stopPlatform(readConfig().home, progress));
  command
    .command('status')
    .description('show which of them run, and their addresses')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const servers = (await platformStatus(readConfig().home)).map((s) =>
        'address' in s ? { ...s, address: withoutPassword(s.address) } : s,
      );
      print(json, servers, columns(servers.map((s) => [s.server, s.state, s.state === 'running' ? s.address : ''])));
      if (servers.some(({ state }) => state === 'stopped')) process.exitCode = 1;
    });
  command
    .command('env')
    .description('print `export` lines for a shell')
    .action(async () => {
      const { servers } = await findEnvironment();
      printText(`export KAFKA_BROKERS='${servers.kafka.brokers}'`);
      printText(`export SCHEMA_REGISTRY_URL='${servers.schemaRegistryUrl}'`);
      printText(`export DATABASE_URL='${servers.databaseUrl}'`);
    });
  return command;
}

function withoutPassword(address: string): string {
  return address.replace(/:[^:@/]+@/, ':***@');
}
