import { type Intent, type Module, intents } from './intents.ts';

/** The label of a message: its intent and module. */
export interface Label {
  readonly module: Module;
  readonly intent: Intent;
}

export const modules = Object.keys(intents) as readonly Module[];

export const labels: readonly Label[] = modules.flatMap((module) =>
  intents[module].map((intent) => ({ module, intent })),
);

/** Each label that a classifier confuses, as `module/intent`, and the two labels with which it confuses it most. */
const confusedWith: Readonly<Record<string, readonly [string, string]>> = {
  'food/order_food': ['food/restaurant_hours', 'shop/search_product'],
  'food/track_order': ['shop/track_order', 'parcel/track_parcel'],
  'food/cancel_order': ['food/track_order', 'ride/cancel_ride'],
  'food/report_wrong_item': ['food/order_food', 'shop/return_product'],
  'food/restaurant_hours': ['food/order_food', 'health/book_appointment'],
  'shop/search_product': ['shop/apply_coupon', 'food/order_food'],
  'shop/track_order': ['food/track_order', 'parcel/track_parcel'],
  'shop/return_product': ['shop/refund_status', 'parcel/damaged_parcel'],
  'shop/refund_status': ['payment/failed_payment', 'shop/return_product'],
  'shop/apply_coupon': ['shop/search_product', 'payment/check_balance'],
  'parcel/book_parcel': ['ride/book_ride', 'parcel/delivery_charges'],
  'parcel/track_parcel': ['shop/track_order', 'parcel/reschedule_delivery'],
  'parcel/reschedule_delivery': ['parcel/track_parcel', 'health/cancel_appointment'],
  'parcel/delivery_charges': ['ride/fare_estimate', 'parcel/book_parcel'],
  'parcel/damaged_parcel': ['shop/return_product', 'general/complaint'],
  'ride/book_ride': ['ride/fare_estimate', 'parcel/book_parcel'],
  'ride/cancel_ride': ['food/cancel_order', 'general/complaint'],
  'ride/driver_location': ['food/track_order', 'ride/cancel_ride'],
  'ride/fare_estimate': ['parcel/delivery_charges', 'ride/book_ride'],
  'ride/lost_item': ['parcel/track_parcel', 'general/complaint'],
  'health/book_appointment': ['health/consult_doctor', 'health/cancel_appointment'],
  'health/cancel_appointment': ['health/book_appointment', 'food/cancel_order'],
  'health/order_medicine': ['health/consult_doctor', 'shop/search_product'],
  'health/lab_report': ['health/book_appointment', 'general/talk_to_human'],
  'health/consult_doctor': ['health/book_appointment', 'health/order_medicine'],
  'payment/pay_bill': ['payment/recharge_mobile', 'payment/send_money'],
  'payment/recharge_mobile': ['payment/pay_bill', 'payment/failed_payment'],
  'payment/check_balance': ['payment/failed_payment', 'shop/refund_status'],
  'payment/failed_payment': ['shop/refund_status', 'payment/pay_bill'],
  'payment/send_money': ['payment/recharge_mobile', 'payment/pay_bill'],
  'general/greeting': ['general/thanks', 'general/talk_to_human'],
  'general/thanks': ['general/greeting', 'general/complaint'],
  'general/complaint': ['general/talk_to_human', 'food/report_wrong_item'],
  'general/talk_to_human': ['general/complaint', 'ride/driver_location'],
  'general/out_of_scope': ['general/greeting', 'food/restaurant_hours'],
};

const nameOf = (label: Label): string => `${label.module}/${label.intent}`;

/** The labels a classifier confuses with this one. Throws when the table above lacks it or names one that does not exist. */
export const confusedLabels = (label: Label): readonly Label[] => {
  const names = confusedWith[nameOf(label)];
  const found = labels.filter((other) => names?.includes(nameOf(other)));
  if (found.length !== 2)
    throw new Error(
      `traffic/labels.ts has no two known labels that ${nameOf(label)} is confused with; add them to confusedWith.`,
    );
  return found;
};
