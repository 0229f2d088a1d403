/**
 * The spool keeps records on disk while Kafka can't take them.
 *
 * Each process appends to segments (NDJSON files) in a subfolder of its own. An append is acknowledged after its line and
 * everything before it are on disk (fdatasync, shared by all appends that wait). So after a kill, the acknowledged lines
 * are a prefix of the file, and a last line without a line feed was not acknowledged. Subfolders of processes that ended
 * are adopted.
 */
import { createReadStream, existsSync } from 'node:fs';
import { appendFile, mkdir, open, readdir, rename, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import { keepTouched, ownedName, ownershipOf, unownedName } from '../runtime/folder-owner.ts';
import { isErrorCode } from '../runtime/reason.ts';
import { syncFolder } from '../runtime/replace-file.ts';
import type { ProducedEvent } from './inputs.ts';
import type { Line } from './lines.ts';
import { linesOf } from './lines.ts';

const SEGMENT_BYTES = 8 * 1024 * 1024;
/** Appends that may wait for the disk, in bytes: memory stays bounded where the disk is slow. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** File name of the rest of a segment while it is being written. */
const DRAFT = 'draft';
const SEGMENT = /^\d{12}\.ndjson$/;

/** The disk refuses the spool; the record was not stored. Try again after `retryAfterSeconds`. */
export class SpoolUnwritable extends Error {
  override readonly name: string = 'SpoolUnwritable';
  readonly retryAfterSeconds: number;

  constructor(message: string, retryAfterSeconds: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The spool can take no more until it is emptied; the record was not stored. */
export class SpoolFull extends SpoolUnwritable {
  override readonly name = 'SpoolFull';
}

/** A file of spooled records that is no longer written to. */
export interface Segment {
  readonly file: string;
  readonly bytes: number;
}

/** Where a spool lies and how much it may hold. */
export interface SpoolOptions {
  readonly folder: string;
  /** Bytes that this process may have on disk, those it adopted included. */
  readonly maxBytes: number;
  /** Size at which a new segment is begun; 8 MiB when absent. */
  readonly segmentBytes?: number;
  readonly log?: Logger;
}

interface Append {
  readonly line: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface ActiveSegment {
  readonly file: string;
  readonly handle: FileHandle;
  bytes: number;
}

/** Opens the spool in `folder` and adopts what processes that ended have left there. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const own = path.join(options.folder, await ownedName());
  await mkdir(own, { recursive: true, mode: 0o700 });
  await syncFolder(options.folder);
  const spool = new Spool(own, options);
  await spool.adoptOrphans();
  return spool;
}

/** A spool; `openSpool` makes one. */
export class Spool {
  readonly #own: string;
  readonly #options: SpoolOptions;
  readonly #sealed: Segment[] = [];
  readonly #warnedOf = new Set<string>();
  #active: ActiveSegment | undefined;
  #number = 0;
  #bytes = 0;
  #waiting: Append[] = [];
  #waitingBytes = 0;
  #sealWanted = false;
  #committing: Promise<void> | undefined;
  #closed = false;
  #failing = false;
  readonly #stopTouching: () => void;

  constructor(own: string, options: SpoolOptions) {
    this.#own = own;
    this.#options = options;
    this.#stopTouching = keepTouched(() => this.#folders());
  }

  /** Bytes that wait, on disk or on their way there. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether records that could go to Kafka may wait here instead. Adopted records, of which there may be many, take room too. */
  get hasRoom(): boolean {
    return this.#bytes < this.#options.maxBytes / 2;
  }

  /** Whether the disk has refused the last write. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Resolves once the record is safe on disk. @throws SpoolFull when there is no room for it, SpoolUnwritable when the disk refuses it. */
  async append(event: ProducedEvent): Promise<void> {
    if (this.#closed) throw new Error('The spool is closed; the record was not stored.');
    const line = Buffer.from(`${JSON.stringify(event)}\n`);
    if (this.#bytes + line.length > this.#options.maxBytes) {
      throw new SpoolFull(
        `The spool in ${this.#options.folder} is full (${String(this.#bytes)} of ${String(this.#options.maxBytes)} bytes): ` +
          'Kafka must take what waits before more can be stored.',
        30,
      );
    }
    if (this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      throw new SpoolFull(
        `The disk of ${this.#options.folder} can't keep up with the records; send them more slowly.`,
        1,
      );
    }
    this.#bytes += line.length;
    this.#waitingBytes += line.length;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject });
      void this.#commit();
    });
  }

  /** The segments that are no longer written to, oldest first. */
  get sealed(): readonly Segment[] {
    return [...this.#sealed];
  }

  /** All segments that wait, oldest first. Seals the segment that is being written. `readSegment` reads the lines of a segment. */
  async segments(): Promise<readonly Segment[]> {
    if (this.#active || this.#waiting.length > 0) {
      this.#sealWanted = true;
      await this.#commit();
    }
    return this.sealed;
  }

  /** Deletes a segment whose records are all stored elsewhere. */
  async remove(segment: Segment): Promise<void> {
    await rm(segment.file, { force: true });
    this.#sealed.splice(this.#sealed.indexOf(segment), 1);
    this.#bytes -= segment.bytes;
    const folder = path.dirname(segment.file);
    if (folder !== this.#own && !this.#sealed.some(({ file }) => path.dirname(file) === folder))
      await removeEmpty(folder);
  }

  /** Replaces a segment by one that holds only `lines`, and returns it. The records of the other lines must be stored elsewhere. */
  async keep(segment: Segment, lines: readonly Line[]): Promise<Segment> {
    const folder = path.dirname(segment.file);
    const content = Buffer.from(lines.map(({ text = '' }) => `${text}\n`).join(''));
    const draft = path.join(folder, DRAFT);
    await writeFile(draft, content, { mode: 0o600, flush: true });
    await rename(draft, segment.file);
    // From now on it is another segment, even if the folder can't be flushed: the numbers of the lines have changed.
    const kept = { file: segment.file, bytes: content.length };
    this.#sealed[this.#sealed.indexOf(segment)] = kept;
    this.#bytes -= segment.bytes - content.length;
    await syncFolder(folder);
    return kept;
  }

  /** Writes a line that can never be delivered to `refused.ndjson`, for a person to look at. */
  async setAside(line: string, reason: string): Promise<void> {
    const file = path.join(this.#options.folder, 'refused.ndjson');
    await appendFile(file, `${JSON.stringify({ reason, line })}\n`, { mode: 0o600, flush: true });
  }

  /** Takes over the folders of processes that ended. */
  async adoptOrphans(): Promise<void> {
    const { folder } = this.#options;
    const adopted: Segment[] = [];
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const ownership = await ownershipOf(folder, entry.name);
      if (ownership === 'foreign')
        this.#warnOnceOf(entry.name, "another host's spool: only a producer of that host name can send it");
      if (ownership !== 'orphaned' && ownership !== 'untouched') continue;
      try {
        adopted.push(...(await this.#adopt(path.join(folder, entry.name))));
      } catch (cause) {
        if (isErrorCode(cause, 'ENOENT')) continue; // another process was faster
        const whose = "it may be another user's, and only a producer of that user can send it";
        this.#warnOnceOf(entry.name, `a spool that can not be taken over (${String(cause)}): ${whose}`);
      }
    }
    this.#sealed.unshift(...adopted);
    this.#bytes += adopted.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async #adopt(orphan: string): Promise<readonly Segment[]> {
    const target = path.join(this.#options.folder, await ownedName());
    const now = new Date();
    await utimes(orphan, now, now); // processes in other pid namespaces must see that it has an owner
    await rename(orphan, target);
    try {
      await rm(path.join(target, DRAFT), { force: true });
      const segments = await segmentsIn(target);
      if (segments.length === 0) await removeEmpty(target);
      return segments;
    } catch (cause) {
      await rename(target, orphan); // otherwise it would wait until this process ends
      throw cause;
    }
  }

  #warnOnceOf(name: string, message: string): void {
    if (this.#warnedOf.has(name)) return;
    this.#warnedOf.add(name);
    this.#options.log?.warn({ folder: name }, message);
  }

  /** Finishes the current write and closes. The next process sends what still waits. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTouching();
    this.#sealWanted = true;
    await this.#commit();
    for (const folder of this.#folders()) {
      if (!(await removeEmpty(folder))) await rename(folder, path.join(this.#options.folder, unownedName()));
    }
  }

  /** Its own, and those it has adopted. */
  #folders(): ReadonlySet<string> {
    return new Set([this.#own, ...this.#sealed.map(({ file }) => path.dirname(file))]);
  }

  /** One writer at a time: appends that arrive while it works are written in its next round. */
  #commit(): Promise<void> {
    this.#committing ??= this.#write();
    return this.#committing;
  }

  async #write(): Promise<void> {
    await Promise.resolve(); // lets all appends of this turn of the event loop share the first write
    while (this.#waiting.length > 0 || this.#sealWanted) {
      const batch = this.#waiting;
      this.#waiting = [];
      if (batch.length > 0) await this.#writeBatch(batch);
      if (this.#sealWanted || (this.#active?.bytes ?? 0) >= (this.#options.segmentBytes ?? SEGMENT_BYTES)) {
        this.#sealWanted = false;
        await this.#seal();
      }
    }
    this.#committing = undefined; // in the same turn as the last check of what waits, so that no append is missed
  }

  async #writeBatch(batch: readonly Append[]): Promise<void> {
    const bytes = Buffer.concat(batch.map(({ line }) => line));
    this.#waitingBytes -= bytes.length;
    try {
      let active = (this.#active ??= await this.#begin());
      await writeSafely(active, bytes);
      if (!existsSync(active.file)) {
        // This process was stopped for so long that another one has taken its folder, and may or may not have read these lines.
        this.#bytes -= active.bytes;
        await active.handle.close().catch(() => undefined);
        active = this.#active = await this.#begin();
        await writeSafely(active, bytes);
      }
      active.bytes += bytes.length;
      this.#failing = false;
      for (const { resolve } of batch) resolve();
    } catch (cause) {
      this.#failing = true;
      this.#bytes -= bytes.length;
      const error = writeFailure(this.#options.folder, cause);
      for (const { reject } of batch) reject(error);
      await this.#seal(); // nothing may follow the half line that may be at its end
    }
  }

  async #begin(): Promise<ActiveSegment> {
    const file = path.join(this.#own, `${String(++this.#number).padStart(12, '0')}.ndjson`);
    await mkdir(this.#own, { recursive: true, mode: 0o700 }); // somebody may have emptied the folder
    const handle = await open(file, 'ax', 0o600);
    await syncFolder(this.#own);
    return { file, handle, bytes: 0 };
  }

  async #seal(): Promise<void> {
    const active = this.#active;
    if (!active) return;
    this.#active = undefined;
    await active.handle.close().catch(() => undefined);
    if (active.bytes > 0) this.#sealed.push({ file: active.file, bytes: active.bytes });
    else await rm(active.file, { force: true }).catch(() => undefined);
  }
}

async function writeSafely({ handle }: ActiveSegment, bytes: Buffer): Promise<void> {
  await handle.writeFile(bytes);
  await handle.datasync();
}

/** The lines of a segment from its start; a torn last line, which was never acknowledged, is left out. */
export async function* readSegment(segment: Segment): AsyncGenerator<Line> {
  for await (const line of linesOf(createReadStream(segment.file) as AsyncIterable<Buffer>)) {
    if (line.terminated) yield line;
  }
}

async function segmentsIn(folder: string): Promise<Segment[]> {
  const names = (await readdir(folder)).filter((name) => SEGMENT.test(name)).sort();
  const files = names.map((name) => path.join(folder, name));
  return Promise.all(files.map(async (file) => ({ file, bytes: (await stat(file)).size })));
}

function writeFailure(folder: string, cause: unknown): SpoolUnwritable {
  if (isErrorCode(cause, 'ENOSPC', 'EDQUOT')) {
    return new SpoolFull(`The disk of the spool in ${folder} is full; the record was not stored. Make room.`, 30, {
      cause,
    });
  }
  return new SpoolUnwritable(
    `The spool in ${folder} can't be written, so the record was not stored: ${String(cause)}.`,
    30,
    { cause },
  );
}

/** True when the folder is gone, false when something is in it. */
async function removeEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (cause) {
    if (isErrorCode(cause, 'ENOENT')) return true;
    if (isErrorCode(cause, 'ENOTEMPTY', 'EEXIST')) return false;
    throw cause;
  }
}
