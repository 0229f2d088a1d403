/**
 * The case of language tags. BCP 47 tags say the same in any case, and policies, counts and filters compare them letter by letter: so
 * they are written in one. What is in the log already stays as it is, and so does every decision on it.
 */
import type { RoutingPolicy } from '../schemas/types.ts';

/** The tag in the case that RFC 5646 recommends (section 2.1.1): `hi-Latn-IN`, and all that follows a singleton in lower case. No subtag is replaced. */
export function canonicalTag(tag: string): string {
  const subtags = tag.toLowerCase().split('-');
  const singleton = subtags.findIndex(({ length }) => length === 1);
  const end = singleton === -1 ? subtags.length : singleton;
  return subtags
    .map((subtag, i) => {
      if (i === 0 || i >= end) return subtag;
      if (subtag.length === 2) return subtag.toUpperCase();
      return subtag.length === 4 ? subtag.charAt(0).toUpperCase() + subtag.slice(1) : subtag;
    })
    .join('-');
}

/** What has a language, with its tag in that case. */
export function withCanonicalTag<T extends { readonly language: string | null }>(value: T): T {
  const language = value.language === null ? null : canonicalTag(value.language);
  return language === value.language ? value : { ...value, language };
}

/** A policy with the tags of its exceptions in that case. */
export function withCanonicalTags(policy: RoutingPolicy): RoutingPolicy {
  return { ...policy, exceptions: policy.exceptions.map(withCanonicalTag) };
}
