import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends conversations into Samvad's log from Java 17, as an NLU service would. See docs/producing.md.
 *
 * <pre>
 * mvn -q -f bench/peers/pom.xml package          # any way to get kafka-clients and avro will do
 * eval "$(npx samvad platform env)"
 * java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp 'bench/peers/target/libs/*' examples/Produce.java [COUNT]
 * </pre>
 */
public class Produce {
  private static final String TOPIC = "nlu.conversations";

  public static void main(String[] args) throws Exception {
    int count = args.length > 0 ? Integer.parseInt(args[0]) : 3;
    JsonNode latest = latestSchema(System.getenv("SCHEMA_REGISTRY_URL"), TOPIC + "-value");
    Schema schema = new Schema.Parser().parse(latest.get("schema").asText());
    int id = latest.get("id").asInt();
    Properties properties = new Properties(); // acks=all, idempotence and the murmur2 partitioner are Java's defaults
    properties.put("bootstrap.servers", System.getenv("KAFKA_BROKERS"));
    properties.put("compression.type", "lz4");
    properties.put("linger.ms", "5");
    List<Future<?>> sent = new ArrayList<>();
    try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new ByteArraySerializer())) {
      for (int i = 0; i < count; i++) {
        String key = UUID.randomUUID().toString();
        byte[] value = framed(id, conversation(schema, key, "where is my order " + i + "?"));
        sent.add(producer.send(new ProducerRecord<>(TOPIC, key, value)));
      }
      for (Future<?> acknowledged : sent) acknowledged.get(); // throws when a record was not stored
    }
    System.out.println(count + " conversations are in the log.");
  }

  /** Fields that are not set take the schema's defaults: null, or no entities. */
  private static GenericRecord conversation(Schema schema, String id, String text) {
    Schema provider = schema.getField("nlu_provider").schema();
    return new GenericRecordBuilder(schema)
        .set("conversation_id", id)
        .set("user_message", text)
        .set("language", "en")
        .set("nlu_intent", "track_order")
        .set("nlu_module", "food")
        .set("nlu_confidence", 0.91)
        .set("nlu_provider", new GenericData.EnumSymbol(provider, "indicbert"))
        .set("model_version", "router-v1.0.0")
        .set("response_success", true)
        .set("processing_time_ms", 48)
        .set("created_at", System.currentTimeMillis())
        .build();
  }

  /** Confluent framing: a zero byte, the schema id as a big-endian int32, the Avro binary. */
  private static byte[] framed(int id, GenericRecord record) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(0);
    out.writeBytes(ByteBuffer.allocate(4).putInt(id).array());
    BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
    new GenericDatumWriter<GenericRecord>(record.getSchema()).write(record, encoder);
    encoder.flush();
    return out.toByteArray();
  }

  /** The newest version under `subject`, as JSON with `id` and `schema`. Samvad registers it when it starts. */
  private static JsonNode latestSchema(String registry, String subject) throws Exception {
    URI uri = URI.create(registry + "/subjects/" + subject + "/versions/latest");
    HttpResponse<String> response =
        HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
    if (response.statusCode() != 200) throw new IOException("The registry answers " + response.body());
    return new ObjectMapper().readTree(response.body());
  }
}
