/** Splits bytes into lines, in bounded memory. */

/** A line, numbered from 1. `text` is undefined for bytes that can't be a line of text; `problem` then says why. */
export interface Line {
  readonly number: number;
  readonly text: string | undefined;
  readonly problem: string;
  /** Whether a line feed ended it; a last line without one may be cut off. */
  readonly terminated: boolean;
}

const LINE_FEED = 0x0a;
/** Far above any valid record, which has less than 1 MB in Avro. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** Splits chunks of UTF-8 bytes into lines. Keeps at most one unfinished line, and nothing of a line that is too long. */
export class LineSplitter {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #carried: Uint8Array[] = [];
  #carriedBytes = 0;
  #number = 0;

  /** The lines that `chunk` completes. */
  *push(chunk: Uint8Array): Generator<Line> {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      this.#carry(chunk.subarray(start, end));
      yield this.#take(true);
      start = end + 1;
    }
    this.#carry(chunk.subarray(start));
  }

  /** The rest after the last line feed, if any. */
  *end(): Generator<Line> {
    if (this.#carriedBytes > 0) yield this.#take(false);
  }

  #carry(bytes: Uint8Array): void {
    this.#carriedBytes += bytes.length;
    if (this.#carriedBytes > MAX_LINE_BYTES) this.#carried = [];
    else if (bytes.length > 0) this.#carried.push(bytes);
  }

  #take(terminated: boolean): Line {
    const [carried, size] = [this.#carried, this.#carriedBytes];
    this.#carried = [];
    this.#carriedBytes = 0;
    const number = ++this.#number;
    if (size > MAX_LINE_BYTES) {
      const problem = `The line has ${String(size)} bytes; at most ${String(MAX_LINE_BYTES)} are read.`;
      return { number, text: undefined, problem, terminated };
    }
    try {
      const bytes = carried.length === 1 ? carried[0] : Buffer.concat(carried);
      return { number, text: this.#decoder.decode(bytes), problem: '', terminated };
    } catch {
      return { number, text: undefined, problem: 'The line is not UTF-8 text.', terminated };
    }
  }
}

/** The lines of a stream of bytes. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  const splitter = new LineSplitter();
  for await (const chunk of chunks) yield* splitter.push(chunk);
  yield* splitter.end();
}
