package samvad.peer;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** The progress of the stream thread, which alone writes it; the main thread reads it. */
final class Progress {
  private final AtomicLong startedAt = new AtomicLong();
  private final AtomicLong processed = new AtomicLong();
  private final Map<Integer, Long> nextOffsets = new ConcurrentHashMap<>();

  void start() {
    if (startedAt.get() == 0) startedAt.set(System.nanoTime());
  }

  void advance(int partition, long offset) {
    nextOffsets.put(partition, offset + 1);
    processed.lazySet(processed.get() + 1);
  }

  /** `System.nanoTime()` when the first record was processed. */
  long startedAt() {
    return startedAt.get();
  }

  long processed() {
    return processed.get();
  }

  /** Partition of the input → offset after the last processed record. */
  Map<Integer, Long> nextOffsets() {
    return nextOffsets;
  }
}
