/**
 * Canonical case of language tags. BCP 47 tags are case-insensitive, but policies, counts and filters compare them
 * letter by letter, so intake writes every tag in one case.
 */
import type { RoutingPolicy } from '../schemas/types.ts';

/**
 * The tag in the case that RFC 5646 (section 2.1.1) recommends, such as `hi-Latn-IN`; lower case after a singleton.
 * Subtags are not replaced.
 */
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

/** The value with its language tag in canonical case. */
export function withCanonicalTag<T extends { readonly language: string | null }>(value: T): T {
  const language = value.language === null ? null : canonicalTag(value.language);
  return language === value.language ? value : { ...value, language };
}

/** The policy with the tags of its exceptions in canonical case. */
export function withCanonicalTags(policy: RoutingPolicy): RoutingPolicy {
  return { ...policy, exceptions: policy.exceptions.map(withCanonicalTag) };
}
