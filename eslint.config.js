// The house rules that a machine can hold: who may import whom, and typed linting.
import js from '@eslint/js';
import ts from 'typescript-eslint';

/**
 * What each folder may import of this project, beside itself and the folders within it. Only `cli`, `pipeline.ts` and what is no part of
 * the program may import all.
 */
const imports = {
  // Values: policy is functions, the stream core knows no topic, processors and projections are run by the runtime.
  policy: ['schemas'],
  stream: ['schemas'],
  processors: ['schemas', 'policy', 'stream', 'topology.ts'],
  sinks: ['schemas', 'policy', 'stream', 'topology.ts'],
  // The runtime knows no topic.
  runtime: ['schemas', 'stream', 'config.ts'],
  platform: ['runtime', 'config.ts'],
  schemas: ['topology.ts'],
  // The SDK runs in other services: it brings along what it needs and no more.
  producers: ['schemas', 'policy', 'stream', 'topology.ts', 'runtime', 'config.ts'],
  // All else meets the processors and projections at topics and tables.
  kpi: ['policy'],
  review: ['schemas', 'policy', 'runtime', 'producers'],
  'label-studio': ['schemas', 'policy', 'topology.ts', 'runtime', 'config.ts', 'review'],
  // The model itself knows no Kafka.
  'trainer/learning': ['schemas', 'policy', 'runtime', 'config.ts', 'trainer/artifacts.ts'],
  'trainer/data-set': [
    ...['schemas', 'policy', 'topology.ts', 'runtime', 'config.ts', 'producers'],
    ...['label-studio/labelling-config.ts', 'trainer/learning'],
  ],
  'trainer/rollout': [
    ...['schemas', 'policy', 'stream', 'topology.ts', 'runtime', 'config.ts', 'kpi'],
    ...['trainer/learning', 'trainer/artifacts.ts', 'trainer/model-log.ts'],
  ],
  trainer: ['schemas', 'policy', 'stream', 'topology.ts', 'runtime', 'config.ts'],
  serving: ['schemas', 'policy', 'stream', 'topology.ts', 'runtime', 'config.ts', 'trainer'],
  simulation: ['schemas', 'policy', 'producers', 'serving', 'trainer'],
  // What an operator asks for, by whatever door.
  operations: ['schemas', 'policy', 'topology.ts', 'runtime', 'config.ts', 'producers', 'review'],
  jobs: ['schemas', 'policy', 'topology.ts', 'runtime', 'config.ts', 'kpi', 'label-studio', 'trainer'],
  http: [
    ...['schemas', 'policy', 'stream', 'topology.ts', 'runtime', 'config.ts', 'producers', 'kpi', 'review'],
    ...['label-studio', 'serving', 'trainer', 'operations'],
  ],
  // Puts the components together, with servers and HTTP; `cli` stands above it.
  app: [
    ...['schemas', 'policy', 'stream', 'topology.ts', 'pipeline.ts', 'runtime', 'platform', 'config.ts', 'producers'],
    ...['kpi', 'review', 'label-studio', 'serving', 'trainer', 'jobs', 'operations', 'http'],
  ],
};
/** Folders of values: no I/O, so no package and nothing of Node. */
const values = ['policy', 'stream', 'processors', 'sinks'];

const importRules = Object.entries(imports).map(([folder, places]) => {
  const message = `${folder} may import of this project ${places.join(', ')} only${values.includes(folder) ? ', and no package' : ''}.`;
  const [parent, within] = folder.split('/');
  const anyOf = (some) => `(?!(${some.join('|').replaceAll('.', '\\.')})(/|$))`;
  // A folder within another names what lies beside it by one step up, all else by two.
  const beside = places
    .filter((place) => place.startsWith(`${parent}/`))
    .map((place) => place.slice(parent.length + 1));
  const others =
    within === undefined
      ? [`^\\.\\./${anyOf(places)}`]
      : [`^\\.\\./${anyOf(['..', ...beside])}`, `^\\.\\./\\.\\./${anyOf(places)}`];
  const patterns = [...others, ...(values.includes(folder) ? ['^[^.]'] : [])];
  return {
    files: [`${folder}/*.ts`],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: patterns.map((regex) => ({ regex, message, allowTypeImports: false })) },
      ],
    },
  };
});

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
  { files: ['http/pages/*.js'], rules: { 'no-undef': 'off' } },
  ...importRules,
);
