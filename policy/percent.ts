/** A share from 0 to 1 as text, such as `12.5 %`; a dash when it is unknown. */
export function percent(share: number | null): string {
  return share === null ? '–' : `${(100 * share).toFixed(1)} %`;
}
