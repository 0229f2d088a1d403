import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, readConfig } from '../../config.ts';

const KAFKA_BROKERS = 'kafka:9093';
const user = { KAFKA_SASL_USERNAME: 'samvad', KAFKA_SASL_PASSWORD: 'secret' };

describe('the configuration', () => {
  it('treats an empty variable as unset, because Docker Compose passes unset ones on as empty', () => {
    const names = ['HOME', 'CACHE', 'LOG_LEVEL', 'HTTP_HOST', 'HTTP_PORT', 'HEALTH_PORT', 'REPLICATION', 'DAILY_AT'];
    const others = ['KAFKA_BROKERS', 'SCHEMA_REGISTRY_URL', 'DATABASE_URL', 'LABEL_STUDIO_URL'];
    const empty = Object.fromEntries([...names.map((name) => `SAMVAD_${name}`), ...others].map((name) => [name, '']));
    assert.deepEqual(readConfig(empty), readConfig({}));
    const none = { KAFKA_TLS: '', KAFKA_TLS_CA_FILE: '', KAFKA_SASL_USERNAME: '', KAFKA_SASL_PASSWORD: '' };
    assert.deepEqual(readConfig({ KAFKA_BROKERS, ...none }).kafka, { brokers: KAFKA_BROKERS });
  });

  it('has TLS and a user where the variables ask for them', () => {
    const { kafka } = readConfig({ KAFKA_BROKERS, KAFKA_TLS: 'true', ...user });
    const sasl = { mechanism: 'scram-sha-512', username: 'samvad', password: 'secret' };
    assert.deepEqual(kafka, { brokers: KAFKA_BROKERS, tls: {}, sasl });
    assert.deepEqual(readConfig({ KAFKA_BROKERS, KAFKA_TLS: 'false' }).kafka, { brokers: KAFKA_BROKERS });
  });

  it('trims the spaces around addresses', () => {
    const env = { KAFKA_BROKERS: ' a:1, b:2 ', SCHEMA_REGISTRY_URL: 'http://r ', DATABASE_URL: ' postgresql://p/db' };
    const { kafka, schemaRegistryUrl, databaseUrl } = readConfig(env);
    assert.deepEqual([kafka?.brokers, schemaRegistryUrl, databaseUrl], ['a:1,b:2', 'http://r', 'postgresql://p/db']);
  });

  it('hides the password in an address that it refuses', () => {
    for (const name of ['SCHEMA_REGISTRY_URL', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'LABEL_STUDIO_URL'])
      for (const url of ['samvad:secret@r:8081', 'htp://samvad:sec@secret@r', 'http://samvad:secret@r:99999'])
        assert.throws(
          () => readConfig({ [name]: url }),
          ({ message }: Error) => message.startsWith(`${name} is ***@r`) && !message.includes('secret'),
        );
  });

  const refused: readonly NodeJS.ProcessEnv[] = [
    ...['1', 'TRUE', 'yes', 'True '].map((KAFKA_TLS) => ({ KAFKA_TLS })),
    { KAFKA_SASL_PASSWORD: 'secret' },
    { KAFKA_SASL_MECHANISM: 'plain' },
    { KAFKA_SASL_USERNAME: 'samvad' },
    { ...user, KAFKA_SASL_MECHANISM: 'PLAIN' },
    ...[' ', '0x50', '1e3', '-1', '80.5', '65536', 'http'].map((SAMVAD_HTTP_PORT) => ({ SAMVAD_HTTP_PORT })),
    { SAMVAD_HEALTH_PORT: '65536' },
    { SAMVAD_REPLICATION: '0' },
    { SCHEMA_REGISTRY_URL: 'localhost:8081' },
    { DATABASE_URL: 'localhost:5432/samvad' },
    ...['kafka', 'kafka:9092,', 'SASL_SSL://kafka:9092', 'kafka 9092'].map((address) => ({ KAFKA_BROKERS: address })),
  ];
  for (const env of refused) {
    const name = Object.keys(env).at(-1) ?? '';
    it(`refuses ${JSON.stringify(env)} and names the variable`, () => {
      const refusal = (error: unknown) => error instanceof ConfigError && error.message.includes(`${name} is `);
      assert.throws(() => readConfig({ KAFKA_BROKERS, ...env }), refusal);
    });
  }
});
