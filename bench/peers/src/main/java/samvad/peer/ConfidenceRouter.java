package samvad.peer;

import static org.apache.kafka.streams.CloseOptions.GroupMembershipOperation.LEAVE_GROUP;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.SchemaParser;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Confidence-router on Kafka Streams: exactly_once_v2, commits every 100 ms, one thread, RocksDB. Processes `expected`
 * records and prints one line of JSON.
 *
 * <p>The time is measured from the first processed record until the committed offsets cover the last one. Streams commits
 * offsets in the transaction of the outputs, so all outputs are visible by then. The outputs are counted afterwards, by
 * reading them with read_committed.
 */
public final class ConfidenceRouter {
  private static final String USAGE =
      "Usage: ConfidenceRouter BOOTSTRAP INPUT OUTPUT SCHEMAS-FOLDER OUTPUT-SCHEMA-ID STATE-FOLDER EXPECTED [no-changelog]";

  private final String bootstrap;
  private final String input;
  private final String output;
  private final String application = "samvad-peer-" + UUID.randomUUID();
  private final Progress progress = new Progress();
  private volatile Throwable failure;

  private ConfidenceRouter(String bootstrap, String input, String output) {
    this.bootstrap = bootstrap;
    this.input = input;
    this.output = output;
  }

  public static void main(String[] args) throws Exception {
    if (args.length < 7 || args.length > 8 || (args.length == 8 && !args[7].equals("no-changelog"))) {
      System.err.println(USAGE);
      System.exit(2);
    }
    System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
    ConfidenceRouter router = new ConfidenceRouter(args[0], args[1], args[2]);
    Topology topology = router.topology(Path.of(args[3]), Integer.parseInt(args[4]), args.length < 8);
    router.run(topology, args[5], Long.parseLong(args[6]));
    System.exit(0);
  }

  private void run(Topology topology, String stateFolder, long expected) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
      Set<TopicPartition> outputs = ensureOutput(admin);
      Map<TopicPartition, Long> before = ends(outputs);
      KafkaStreams streams = new KafkaStreams(topology, configuration(stateFolder));
      streams.setUncaughtExceptionHandler(
          error -> {
            failure = error;
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
          });
      streams.start();
      double seconds;
      try {
        untilCommitted(admin, expected);
        seconds = (System.nanoTime() - progress.startedAt()) / 1e9;
      } finally {
        streams.close(CloseOptions.timeout(Duration.ofSeconds(30)).withGroupMembershipOperation(LEAVE_GROUP));
      }
      removeTraces(admin, Path.of(stateFolder, application));
      report(expected, countFrom(before), seconds);
    }
  }

  private Topology topology(Path schemasFolder, int outputSchemaId, boolean changelog) throws Exception {
    Map<String, Schema> schemas = readSchemas(schemasFolder);
    Schema event = schemas.get("samvad.ConversationEvent");
    Schema decision = schemas.get("samvad.RoutingDecision");
    StoreBuilder<KeyValueStore<byte[], byte[]>> store =
        Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(RouterProcessor.STORE), Serdes.ByteArray(), Serdes.ByteArray());
    return new Topology()
        .addSource("events", new ByteArrayDeserializer(), new ByteArrayDeserializer(), input)
        .addProcessor(
            "router",
            () ->
                new RouterProcessor(
                    new Codec(event, 0), new Codec(decision, outputSchemaId), new Routing(decision), progress),
            "events")
        .addStateStore(changelog ? store.withLoggingEnabled(Map.of()) : store.withLoggingDisabled(), "router")
        .addSink("decisions", output, new ByteArraySerializer(), new ByteArraySerializer(), "router");
  }

  /** All named schemas of the folder. Its files refer to each other by name, in any order. */
  private static Map<String, Schema> readSchemas(Path folder) throws Exception {
    SchemaParser parser = new SchemaParser();
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.filter(path -> path.toString().endsWith(".avsc")).sorted().toList()) parser.parse(file);
    }
    return parser.getParsedNamedSchemas().stream().collect(Collectors.toMap(Schema::getFullName, schema -> schema));
  }

  private Properties configuration(String stateFolder) {
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, stateFolder);
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, -1);
    return properties;
  }

  /** Waits until the group has committed the offset after the last of the expected records, on every partition. */
  private void untilCommitted(Admin admin, long expected) throws Exception {
    while (progress.processed() < expected) pause();
    Map<Integer, Long> wanted = Map.copyOf(progress.nextOffsets());
    for (; ; pause()) {
      Map<TopicPartition, OffsetAndMetadata> committed =
          admin.listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata().get();
      boolean covered =
          wanted.entrySet().stream()
              .allMatch(
                  next ->
                      Optional.ofNullable(committed.get(new TopicPartition(input, next.getKey())))
                          .map(offset -> offset.offset() >= next.getValue())
                          .orElse(false));
      if (covered) return;
    }
  }

  private void pause() throws Exception {
    if (failure != null) throw new IllegalStateException("The stream thread ended.", failure);
    Thread.sleep(5);
  }

  /** The output's partitions. A missing topic is created with as many as the input has. */
  private Set<TopicPartition> ensureOutput(Admin admin) throws Exception {
    int partitions = admin.describeTopics(List.of(input)).allTopicNames().get().get(input).partitions().size();
    if (!admin.listTopics().names().get().contains(output)) {
      NewTopic topic = new NewTopic(output, Optional.of(partitions), Optional.empty());
      admin.createTopics(List.of(topic.configs(Map.of("cleanup.policy", "compact")))).all().get();
    }
    return admin.describeTopics(List.of(output)).allTopicNames().get().get(output).partitions().stream()
        .map(info -> new TopicPartition(output, info.partition()))
        .collect(Collectors.toSet());
  }

  private KafkaConsumer<byte[], byte[]> reader() {
    return new KafkaConsumer<>(
        Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed"),
        new ByteArrayDeserializer(),
        new ByteArrayDeserializer());
  }

  private Map<TopicPartition, Long> ends(Set<TopicPartition> partitions) {
    try (KafkaConsumer<byte[], byte[]> consumer = reader()) {
      return consumer.endOffsets(partitions);
    }
  }

  /** The number of committed records of the output from these offsets to the ends. */
  private long countFrom(Map<TopicPartition, Long> offsets) {
    try (KafkaConsumer<byte[], byte[]> consumer = reader()) {
      consumer.assign(offsets.keySet());
      offsets.forEach(consumer::seek);
      Map<TopicPartition, Long> waiting = new HashMap<>(consumer.endOffsets(offsets.keySet()));
      long records = 0;
      while (true) {
        waiting.entrySet().removeIf(end -> consumer.position(end.getKey()) >= end.getValue());
        if (waiting.isEmpty()) return records;
        records += consumer.poll(Duration.ofMillis(100)).count();
      }
    }
  }

  private static void report(long expected, long records, double seconds) {
    if (records != expected)
      throw new IllegalStateException("The output has " + records + " records; " + expected + " were expected.");
    System.out.printf(
        Locale.ROOT,
        "{\"records\":%d,\"seconds\":%.3f,\"ratePerSecond\":%d}%n",
        records,
        seconds,
        Math.round(records / seconds));
  }

  private void removeTraces(Admin admin, Path state) throws Exception {
    Set<String> internal =
        admin.listTopics().names().get().stream()
            .filter(name -> name.startsWith(application))
            .collect(Collectors.toSet());
    admin.deleteTopics(internal).all().get();
    admin.deleteConsumerGroups(List.of(application)).all().get();
    if (!Files.exists(state)) return;
    try (Stream<Path> files = Files.walk(state)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.delete(file);
    }
  }
}
