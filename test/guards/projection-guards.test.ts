import { testGuards } from './guard-tests.ts';
import { projectionGuards } from './guards.ts';

testGuards(projectionGuards);
