/**
 * Webhooks serve as hints only: Label Studio sends each once, waits one second and signs nothing. So they are
 * registered without payload.
 */
import type { LabelStudioConfig } from '../config.ts';
import type { LabelStudioApi } from './api.ts';

/** The header in which a webhook carries the shared secret. */
export const SECRET_HEADER = 'X-Samvad-Secret';

const ACTIONS = ['ANNOTATION_CREATED', 'ANNOTATIONS_CREATED', 'ANNOTATION_UPDATED', 'ANNOTATIONS_DELETED'];

/** Registers the project's webhook if an address is configured, and switches it on again if it was switched off. */
export async function keepWebhook(
  api: LabelStudioApi,
  { webhookUrl: url, webhookSecret = '' }: LabelStudioConfig,
  project: number,
): Promise<void> {
  if (url === undefined) return;
  const found = (await api.webhooks(project)).find((webhook) => webhook.url === url);
  const headers = { [SECRET_HEADER]: webhookSecret };
  if (found?.is_active === true && found.headers[SECRET_HEADER] === webhookSecret) return;
  const fields = {
    project,
    url,
    headers,
    send_payload: false,
    send_for_all_actions: false,
    actions: ACTIONS,
    is_active: true,
  };
  await (found ? api.changeWebhook(found.id, fields) : api.createWebhook(fields));
}
