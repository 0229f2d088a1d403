package samvad.peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/** Records of one schema in Confluent framing: a zero byte, the schema id as a big-endian int32, the Avro binary. */
final class Codec {
  private static final int HEADER_BYTES = 5;

  private final int id;
  private final GenericDatumReader<GenericRecord> reader;
  private final GenericDatumWriter<GenericRecord> writer;
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(4096);
  private BinaryDecoder decoder;
  private BinaryEncoder encoder;

  /** Encoded records are framed with `id`. Decoded records must have this exact schema; their id is ignored. */
  Codec(Schema schema, int id) {
    this.id = id;
    this.reader = new GenericDatumReader<>(schema);
    this.writer = new GenericDatumWriter<>(schema);
  }

  GenericRecord decode(byte[] framed) {
    if (framed.length < HEADER_BYTES || framed[0] != 0) throw new IllegalArgumentException("The record is not framed.");
    decoder = DecoderFactory.get().binaryDecoder(framed, HEADER_BYTES, framed.length - HEADER_BYTES, decoder);
    try {
      return reader.read(null, decoder);
    } catch (IOException cause) {
      throw new IllegalArgumentException("The record is not of the schema.", cause);
    }
  }

  byte[] encode(GenericRecord record) {
    bytes.reset();
    bytes.write(0);
    bytes.writeBytes(ByteBuffer.allocate(Integer.BYTES).putInt(id).array());
    encoder = EncoderFactory.get().binaryEncoder(bytes, encoder);
    try {
      writer.write(record, encoder);
      encoder.flush();
    } catch (IOException cause) {
      throw new IllegalStateException("The record could not be encoded.", cause);
    }
    return bytes.toByteArray();
  }
}
