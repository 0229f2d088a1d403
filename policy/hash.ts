/** Hashes in place of randomness: the same id always gets the same number, also in every replay. */

/**
 * A number in [0, 1) from `text`, evenly spread.
 * FNV-1a over UTF-16 code units (Fowler, Noll, Vo), finished with the mixer of MurmurHash3 (Appleby), 32 bits.
 */
export function unitHash(text: string): number {
  return mix(fnv1a(text, 0x811c9dc5)) / 2 ** 32;
}

/** 64 bits of `text` as 16 hexadecimal digits; distinguishes texts, but does not resist an attacker. */
export function textHash(text: string): string {
  const high = mix(fnv1a(text, 0x811c9dc5));
  const low = mix(fnv1a(text, high ^ 0x9e3779b9));
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

function fnv1a(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** The finaliser of MurmurHash3: every bit of the input affects every bit of the result, 32 bits. */
export function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
