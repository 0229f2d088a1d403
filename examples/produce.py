"""Sends conversations into Samvad's log from Python, as an NLU service would. See docs/producing.md.

    pip install confluent-kafka fastavro
    eval "$(npx samvad platform env)"
    python examples/produce.py [COUNT]
"""

import io
import json
import os
import struct
import sys
import time
import urllib.request
import uuid

import fastavro
from confluent_kafka import Producer

TOPIC = "nlu.conversations"


def latest_schema(registry: str, subject: str) -> tuple[int, dict]:
    """The newest version under `subject` and its id. Samvad registers it when it starts."""
    with urllib.request.urlopen(f"{registry}/subjects/{subject}/versions/latest") as response:
        version = json.load(response)
    return version["id"], json.loads(version["schema"])


def framed(writer_id: int, parsed: dict, record: dict) -> bytes:
    """Confluent framing: a zero byte, the schema id as a big-endian int32, the Avro binary."""
    out = io.BytesIO()
    out.write(struct.pack(">bI", 0, writer_id))
    fastavro.schemaless_writer(out, parsed, record)
    return out.getvalue()


def conversation(text: str) -> dict:
    """Fields that are left out take the schema's defaults: null, or no entities."""
    return {
        "conversation_id": str(uuid.uuid4()),
        "user_message": text,
        "language": "hi-Latn",
        "nlu_intent": "track_order",
        "nlu_module": "food",
        "nlu_confidence": 0.91,
        "nlu_provider": "indicbert",
        "model_version": "router-v1.0.0",
        "response_success": True,
        "processing_time_ms": 48,
        "created_at": time.time_ns() // 1_000_000,
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    writer_id, schema = latest_schema(os.environ["SCHEMA_REGISTRY_URL"], f"{TOPIC}-value")
    parsed = fastavro.parse_schema(schema)
    producer = Producer(
        {
            "bootstrap.servers": os.environ["KAFKA_BROKERS"],
            "enable.idempotence": True,  # implies acks=all
            "partitioner": "murmur2_random",  # as Java's; librdkafka's own default sends keys elsewhere
            "compression.type": "lz4",
            "linger.ms": 5,
        }
    )
    failed = []

    def delivered(error, _message) -> None:
        if error:
            failed.append(error)

    for i in range(count):
        record = conversation(f"mera order {i} kahan hai?")
        while True:
            try:
                producer.produce(TOPIC, framed(writer_id, parsed, record), record["conversation_id"], on_delivery=delivered)
                break
            except BufferError:  # the local queue is full: let Kafka take some of it
                producer.poll(0.1)
        producer.poll(0)
    waiting = producer.flush(30)
    if failed or waiting:
        sys.exit(f"{len(failed)} of {count} were not delivered, {waiting} still wait: {failed[:1]}")
    print(f"{count} conversations are in the log.")


if __name__ == "__main__":
    main()
