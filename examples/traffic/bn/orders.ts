import type { Orders } from '../intents.ts';

export const bnOrders: Orders = {
  food: {
    order_food: [
      'আমি {restaurant} থেকে {qty} প্লেট {dish} অর্ডার করতে চাই',
      '{dish} আর {dish2} পাঠিয়ে দিন',
      '{qty} জনের জন্য {dish} লাগবে, ঝাল কম',
    ],
    track_order: [
      'আমার খাবার কোথায়? অর্ডার {order_id}',
      '{minutes} মিনিট হয়ে গেল, {dish} এখনও আসেনি',
      'খাবারের অর্ডার {order_id} কখন আসবে?',
    ],
    cancel_order: [
      'খাবারের অর্ডার {order_id} বাতিল করুন',
      'ভুল করে {dish} অর্ডার হয়ে গেছে, ক্যানসেল করে দিন',
      'আর {dish} লাগবে না, অর্ডার cancel করুন',
    ],
    report_wrong_item: [
      '{dish} চেয়েছিলাম, {dish2} এসেছে',
      'অর্ডার {order_id} এর মধ্যে {dish} ছিল না',
      '{restaurant} এর খাবার ঠান্ডা আর বাসি ছিল, {amount} ফেরত দিন',
    ],
    restaurant_hours: ['{restaurant} কি {day} খোলা?', '{restaurant} কটায় বন্ধ হয়', '{place} এর কাছে {dish} কোথায় পাব?'],
  },
  shop: {
    search_product: ['{amount} এর মধ্যে {product} দেখান', '{product} এর দাম কত?', 'একটা ভালো {product} খুঁজছি'],
    track_order: [
      'আমার {product} কোথায়? অর্ডার {order_id}',
      'অর্ডার {order_id} এর স্ট্যাটাস বলুন',
      '{product} {past_day} আসার কথা ছিল, এখনও পাইনি',
    ],
    return_product: [
      '{product} ফেরত দিতে চাই, অর্ডার {order_id}',
      '{product} খারাপ বেরিয়েছে, বদলে দিন',
      'সাইজ ভুল, {product} কীভাবে রিটার্ন করব?',
    ],
    refund_status: [
      'আমার {amount} রিফান্ড কবে পাব?',
      'অর্ডার {order_id} এর টাকা ফেরত পাইনি',
      'রিফান্ডের খবর {email} এ মেল করুন',
    ],
    apply_coupon: ['কুপন {coupon} কাজ করছে না', '{product} এর উপর কোনো অফার আছে?', '{coupon} দিলাম কিন্তু ছাড় পেলাম না'],
  },
  parcel: {
    book_parcel: [
      '{pickup} থেকে {drop} পর্যন্ত কুরিয়ার বুক করতে চাই',
      '{day} {city} থেকে {city2} পার্সেল পাঠাব',
      '{weight} পার্সেল পাঠাতে হবে, আমার নম্বর {phone}',
    ],
    track_parcel: [
      'পার্সেল {tracking_id} এখন কোথায়?',
      '{tracking_id} ট্র্যাক করে বলুন',
      '{city} থেকে আমার পার্সেল {qty} দিনেও আসেনি',
    ],
    reschedule_delivery: [
      'বাড়িতে কেউ নেই, {tracking_id} {day} দিন',
      'ডেলিভারি {time} করা যাবে?',
      '{tracking_id} এর তারিখ বদলান, আগে {phone} নম্বরে ফোন করবেন',
    ],
    delivery_charges: [
      '{city} থেকে {city2} কুরিয়ারের খরচ কত?',
      '{weight} পাঠাতে কত লাগবে',
      '{weight} এর জন্য কি {amount} লাগবে?',
    ],
    damaged_parcel: [
      'পার্সেল {tracking_id} ভাঙা অবস্থায় পেয়েছি',
      'বাক্স খোলা ছিল আর {product} ভেঙে গেছে',
      'পার্সেল ভিজে এসেছে, {amount} কে দেবে?',
    ],
  },
};
