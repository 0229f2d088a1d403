package samvad.peer;

import java.util.List;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;

/** The same decisions as policy/routing.ts with `defaultPolicy`, which has no exceptions. */
final class Routing {
  private static final String VERSION = "routing-v1";
  private static final double TRUST = 0.85;
  private static final double DOUBT = 0.7;
  private static final double AUDIT_SHARE = 0.05;
  private static final String AUDIT_SALT = "samvad-audit-1";

  private static final Set<String> SET =
      Set.of("conversation_id", "conversation", "route", "reasons", "policy_version", "audit", "audit_propensity",
          "review_status", "review", "revision");

  private final Schema decision;
  private final Schema route;
  private final Schema status;
  private final Schema reasons;
  private final List<Schema.Field> defaulted;

  Routing(Schema decision) {
    this.decision = decision;
    this.route = decision.getField("route").schema();
    this.status = decision.getField("review_status").schema();
    this.reasons = decision.getField("reasons").schema();
    // Fields that the first decision leaves at the defaults of the schema; all others are set one by one.
    this.defaulted = decision.getFields().stream().filter(field -> !SET.contains(field.name()) && field.hasDefaultValue()).toList();
  }

  /** The first decision on a conversation. */
  GenericRecord decide(GenericRecord conversation) {
    String provider = conversation.get("nlu_provider").toString();
    Double confidence = (Double) conversation.get("nlu_confidence");
    if (provider.equals("llm")) return toPeople(conversation, "priority_review", "llm-fallback");
    if (confidence == null || confidence.isNaN()) return toPeople(conversation, "priority_review", "no-confidence");
    if (confidence < DOUBT) return toPeople(conversation, "priority_review", "low-confidence");
    if (confidence <= TRUST) return toPeople(conversation, "needs_review", "medium-confidence");
    if (!provider.equals("indicbert")) return toPeople(conversation, "needs_review", "untrusted-provider");
    GenericRecord decided = decided(conversation, "auto_approved", "high-confidence", "auto_approved");
    decided.put("audit", unitHash(AUDIT_SALT + "/" + conversation.get("conversation_id")) < AUDIT_SHARE);
    decided.put("audit_propensity", AUDIT_SHARE);
    return decided;
  }

  /** The decision after one more review; changes and returns `decided`. */
  GenericRecord applyReview(GenericRecord decided, GenericRecord review) {
    decided.put("revision", (Integer) decided.get("revision") + 1);
    String verdict = review.get("verdict").toString();
    if (verdict.equals("skip") && decided.get("review") != null) return decided;
    boolean trusted = decided.get("route").toString().equals("auto_approved");
    String standing =
        switch (verdict) {
          case "approve", "correct" -> "approved";
          case "reject" -> "rejected";
          default -> trusted ? "auto_approved" : "skipped";
        };
    decided.put("review", review);
    decided.put("review_status", new GenericData.EnumSymbol(status, standing));
    return decided;
  }

  private GenericRecord toPeople(GenericRecord conversation, String to, String reason) {
    return decided(conversation, to, reason, "needs_review");
  }

  private GenericRecord decided(GenericRecord conversation, String to, String reason, String standing) {
    GenericRecord record = new GenericData.Record(decision);
    for (Schema.Field field : defaulted) record.put(field.pos(), GenericData.get().getDefaultValue(field));
    record.put("conversation_id", conversation.get("conversation_id"));
    record.put("conversation", conversation);
    record.put("route", new GenericData.EnumSymbol(route, to));
    record.put("reasons", new GenericData.Array<>(reasons, List.of(reason)));
    record.put("policy_version", VERSION);
    record.put("audit", false);
    record.put("audit_propensity", null);
    record.put("review_status", new GenericData.EnumSymbol(status, standing));
    record.put("review", null);
    record.put("revision", 0);
    return record;
  }

  /** FNV-1a over UTF-16 code units, finished with MurmurHash3's mixer, as policy/hash.ts. */
  private static double unitHash(String text) {
    int h = 0x811c9dc5;
    for (int i = 0; i < text.length(); i++) h = (h ^ text.charAt(i)) * 0x01000193;
    h = (h ^ (h >>> 16)) * 0x85ebca6b;
    h = (h ^ (h >>> 13)) * 0xc2b2ae35;
    return Integer.toUnsignedLong(h ^ (h >>> 16)) / 0x1p32;
  }
}
