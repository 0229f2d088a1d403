/** A cache of loaded models; the least recently used one is closed first. */
import type { ArtifactStore } from '../trainer/artifacts.ts';
import type { EncoderPlaces } from '../trainer/learning/encoder.ts';
import { loadModel } from '../trainer/learning/model.ts';
import type { Model } from '../trainer/learning/model.ts';

/** Loaded models by the SHA-256 of their file. */
export interface ModelShelf {
  /**
   * Runs `work` with a model, which stays loaded meanwhile.
   * @throws ArtifactError or ModelRefused when the file or its encoder is missing, damaged or foreign. A recent refusal
   * is repeated without reading the file.
   */
  use<T>(sha256: string, work: (model: Model) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Limits of a shelf. */
export interface ShelfOptions {
  readonly artifacts: Pick<ArtifactStore, 'get'>;
  readonly places?: EncoderPlaces;
  /** The most models to keep loaded while unused. */
  readonly capacity?: number;
  /** Milliseconds after which a refused file is tried again. */
  readonly retryMs?: number;
}

interface Slot {
  readonly model: Promise<Model>;
  users: number;
  /** When a refused file is tried again, by `performance.now()`. */
  retryAt: number;
}

/** An empty shelf. */
export function openModelShelf(options: ShelfOptions): ModelShelf {
  const { artifacts, places = {}, capacity = 4, retryMs = 5000 } = options;
  /** Least recently used first. */
  const slots = new Map<string, Slot>();

  function take(sha256: string): Slot {
    let slot = slots.get(sha256);
    if (!slot || (slot.users === 0 && performance.now() >= slot.retryAt)) {
      const fresh: Slot = { model: load(sha256), users: 0, retryAt: Infinity };
      fresh.model.catch(() => (fresh.retryAt = performance.now() + retryMs));
      slot = fresh;
    }
    slots.delete(sha256);
    slots.set(sha256, slot);
    return slot;
  }

  async function load(sha256: string): Promise<Model> {
    return loadModel(await artifacts.get(sha256), places);
  }

  async function shrink(): Promise<void> {
    const idle = [...slots].filter(([, { users }]) => users === 0);
    const surplus = idle.slice(0, Math.max(0, slots.size - capacity));
    for (const [sha256] of surplus) slots.delete(sha256);
    for (const [, slot] of surplus) await closeModel(slot);
  }

  return {
    async use(sha256, work) {
      const slot = take(sha256);
      slot.users++;
      try {
        return await work(await slot.model);
      } finally {
        slot.users--;
        await shrink();
      }
    },
    async close() {
      for (const slot of slots.values()) await closeModel(slot);
      slots.clear();
    },
  };
}

async function closeModel({ model }: Slot): Promise<void> {
  await model.then(
    (loaded) => loaded.close(),
    () => undefined,
  );
}
