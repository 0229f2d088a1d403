import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readConfig } from '../../config.ts';
import { newToken } from '../../http/tokens.ts';
import { openLog, secretsOf } from '../../runtime/log.ts';

it('no secret of the configuration or of a request reaches the log', () => {
  const { token } = newToken('asha', ['read']);
  const config = readConfig({
    KAFKA_BROKERS: 'kafka:9093',
    KAFKA_SASL_USERNAME: 'samvad',
    KAFKA_SASL_PASSWORD: 'kafka "secret"',
    DATABASE_URL: 'postgres://samvad:pg%24ecret@db/samvad',
  });
  const lines: string[] = [];
  const log = openLog({
    level: 'info',
    secrets: secretsOf(config),
    destination: { write: (line) => void lines.push(line) },
  });
  log.child({ component: 'intake', config }).info('starting');
  log.error({ err: new Error(`connect postgres://samvad:other-secret@db/samvad as pg$ecret failed`) }, 'no database');
  log.warn({ headers: { authorization: `Bearer ${token}`, cookie: `samvad_token=${token}` } }, 'a request failed');
  log.info('Authorization: Token 0123456789abcdef');
  const text = lines.join('');
  for (const secret of [
    'kafka "secret"',
    'kafka \\"secret',
    'pg%24ecret',
    'pg$ecret',
    'other-secret',
    token,
    '0123456789abcdef',
  ])
    assert.ok(!text.includes(secret), secret);
  for (const line of lines) JSON.parse(line);
  assert.match(text, /no database/);
  assert.match(text, /samvad:…@db/);
});

it('a password with a bare per cent sign is a secret too', () => {
  const databaseUrl = 'postgres://samvad:100%safe@db/samvad';
  assert.deepEqual([...new Set(secretsOf({ databaseUrl }))], ['100%safe']);
});
