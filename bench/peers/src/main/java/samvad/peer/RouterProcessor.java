package samvad.peer;

import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/** The step of processors/confidence-router.ts: decode, decide, remember the encoded decision, write it out. */
final class RouterProcessor implements Processor<byte[], byte[], byte[], byte[]> {
  static final String STORE = "decisions";

  private final Codec events;
  private final Codec decisions;
  private final Routing routing;
  private final Progress progress;
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<byte[], byte[]> store;

  RouterProcessor(Codec events, Codec decisions, Routing routing, Progress progress) {
    this.events = events;
    this.decisions = decisions;
    this.routing = routing;
    this.progress = progress;
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> context) {
    this.context = context;
    this.store = context.getStateStore(STORE);
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    RecordMetadata at = context.recordMetadata().orElseThrow();
    progress.start();
    GenericRecord event = events.decode(record.value());
    if (event.get("captured") instanceof GenericRecord captured)
      write(record, routing.decide(captured), (Long) captured.get("created_at"));
    else if (event.get("reviewed") instanceof GenericRecord reviewed) {
      byte[] known = store.get(record.key());
      if (known == null) throw new IllegalStateException("The log holds a review before its conversation.");
      write(record, routing.applyReview(decisions.decode(known), reviewed), (Long) reviewed.get("reviewed_at"));
    }
    progress.advance(at.partition(), at.offset());
  }

  private void write(Record<byte[], byte[]> event, GenericRecord decided, long timestamp) {
    byte[] bytes = decisions.encode(decided);
    store.put(event.key(), bytes);
    context.forward(event.withValue(bytes).withTimestamp(timestamp));
  }
}
