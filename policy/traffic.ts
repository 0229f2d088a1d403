/** Which version answers a conversation. The same id gets the same version as long as the shares stay as they are. */
import { unitHash } from './hash.ts';

/** The versions that get traffic. */
export interface Deployment {
  readonly production: string;
  /** A version on trial, with its share in percent; null when there is none. */
  readonly canary: { readonly version: string; readonly traffic: number } | null;
}

/**
 * The version for a conversation. The choice depends on the canary and the id only: an id that is with a canary at 10 %
 * stays with it at 25, 50 and 100 %, and each new canary gets other ids.
 */
export function versionFor({ production, canary }: Deployment, conversationId: string): string {
  if (canary === null) return production;
  return 100 * unitHash(`${canary.version}/${conversationId}`) < canary.traffic ? canary.version : production;
}
