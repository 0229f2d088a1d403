/** The intents of each module. `track_order` is in two modules on purpose: an intent alone does not determine the module. */
export const intents = {
  food: ['order_food', 'track_order', 'cancel_order', 'report_wrong_item', 'restaurant_hours'],
  shop: ['search_product', 'track_order', 'return_product', 'refund_status', 'apply_coupon'],
  parcel: ['book_parcel', 'track_parcel', 'reschedule_delivery', 'delivery_charges', 'damaged_parcel'],
  ride: ['book_ride', 'cancel_ride', 'driver_location', 'fare_estimate', 'lost_item'],
  health: ['book_appointment', 'cancel_appointment', 'order_medicine', 'lab_report', 'consult_doctor'],
  payment: ['pay_bill', 'recharge_mobile', 'check_balance', 'failed_payment', 'send_money'],
  general: ['greeting', 'thanks', 'complaint', 'talk_to_human', 'out_of_scope'],
} as const;

export type Module = keyof typeof intents;
export type IntentOf<M extends Module> = (typeof intents)[M][number];
export type Intent = IntentOf<Module>;

/** The sentence patterns of one module: texts with `{slot}` placeholders, at least one for each intent. */
export type Patterns<M extends Module> = Readonly<Record<IntentOf<M>, readonly string[]>>;
export type Orders = { readonly [M in 'food' | 'shop' | 'parcel']: Patterns<M> };
export type Services = { readonly [M in 'ride' | 'health' | 'payment' | 'general']: Patterns<M> };

/** Words that differ by language. `pickup` and `drop` places both come from `place`. */
export interface Words {
  readonly dish: readonly string[];
  readonly restaurant: readonly string[];
  readonly product: readonly string[];
  readonly place: readonly string[];
  readonly city: readonly string[];
  readonly day: readonly string[];
  /** Days for past events, where words of `day`, such as "tomorrow", would be wrong. */
  readonly past_day: readonly string[];
  readonly time: readonly string[];
  readonly specialty: readonly string[];
  readonly medicine: readonly string[];
  readonly test: readonly string[];
  readonly bill: readonly string[];
  readonly item: readonly string[];
  /** Phrases before and after a request, including the space between. */
  readonly opener: readonly string[];
  readonly closer: readonly string[];
}
