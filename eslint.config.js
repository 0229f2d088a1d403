// The house rules that a machine can hold: who may import whom, and typed linting.
import js from '@eslint/js';
import ts from 'typescript-eslint';

/** Folders that a folder must not import, by pattern. */
const forbid = (files, groups, message) => ({
  files,
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      { patterns: [{ group: groups, message, allowTypeImports: false }] },
    ],
  },
});
const io = ['node:*', 'kafkajs', 'node-rdkafka', 'pg', 'lmdb', 'fastify', 'pino', '**/runtime/*', '**/platform/*'];

export default ts.config(
  { ignores: ['node_modules', 'dist', '.samvad', 'schemas/types.ts', 'bench/peers'] },
  js.configs.recommended,
  ...ts.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['eslint.config.js', 'bin/*.js'] } } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: [{ from: 'package', name: ['describe', 'it', 'test'], package: 'node:test' }] },
      ],
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      'no-restricted-syntax': [
        'error',
        {
          selector: "MemberExpression[object.name='process'][property.name='env']",
          message: 'Only config.ts reads the environment.',
        },
        { selector: 'ExportDefaultDeclaration', message: 'Exports have names.' },
      ],
    },
  },
  {
    files: ['config.ts', 'bin/**', 'test/**', 'platform/**', 'bench/**', 'eslint.config.js'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  { files: ['**/*.js'], ...ts.configs.disableTypeChecked, languageOptions: { globals: { process: 'readonly' } } },
  // The pages' modules: tsc knows the browser's names.
  { files: ['status/pages/*.js'], rules: { 'no-undef': 'off' } },
  forbid(
    ['policy/**'],
    [...io, '../stream/*', '../topology.ts', '../processors/*'],
    'Policy is functions of values: it imports nothing but policy and types.',
  ),
  forbid(
    ['stream/**'],
    [...io, '../topology.ts', '../processors/*', '../policy/*'],
    'The stream core has no I/O and knows no topic.',
  ),
  forbid(
    ['processors/**', 'sinks/**'],
    [...io, '../pipeline.ts', '../cli/*'],
    'Processors and projections are values; the runtime runs them.',
  ),
  forbid(
    ['label-studio/**'],
    ['../pipeline.ts', '../cli/*', '../status/*', '../trainer/*', '../processors/*', '../sinks/*'],
    'The Label Studio sync meets the other components at topics and tables.',
  ),
  forbid(
    ['producers/**'],
    ['**/platform/*', '../pipeline.ts', '../cli/*', '../status/*', '../trainer/*', '../processors/*', '../sinks/*'],
    'The SDK runs in other services: it brings along what it needs and no more.',
  ),
  forbid(
    ['runtime/**', 'platform/**'],
    ['../topology.ts', '../pipeline.ts', '../processors/*', '../sinks/*', '../producers/*', '../cli/*'],
    'The runtime knows no topic.',
  ),
);
