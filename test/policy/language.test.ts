import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { canonicalTag } from '../../policy/language.ts';

describe('canonicalTag', () => {
  // The examples of RFC 5646, section 2.1.1, and deprecated tags, which are not replaced.
  for (const [tag, canonical] of [
    ['TA', 'ta'],
    ['hi-latn', 'hi-Latn'],
    ['MN-cYRL-mn', 'mn-Cyrl-MN'],
    ['EN-ca-X-CA', 'en-CA-x-ca'],
    ['sgn-be-fr', 'sgn-BE-FR'],
    ['AZ-latn-X-LATN', 'az-Latn-x-latn'],
    ['en-US-U-ISLAMCAL-LATN', 'en-US-u-islamcal-latn'],
    ['sl-ROZAJ-1994', 'sl-rozaj-1994'],
    ['IW', 'iw'],
  ] as const)
    it(`writes ${tag} as ${canonical}`, () => assert.equal(canonicalTag(tag), canonical));
});
