import { testGuards } from './guard-tests.ts';
import { processorGuards } from './guards.ts';

testGuards(processorGuards);
