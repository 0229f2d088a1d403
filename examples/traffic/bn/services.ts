import type { Services } from '../intents.ts';

export const bnServices: Services = {
  ride: {
    book_ride: [
      '{pickup} থেকে {drop} পর্যন্ত ক্যাব বুক করুন',
      '{time} {drop} যাওয়ার জন্য অটো লাগবে',
      '{day} {time} ট্যাক্সি চাই, {pickup} থেকে উঠব',
    ],
    cancel_ride: [
      'আমার রাইড বাতিল করুন',
      'ড্রাইভার {amount} বেশি চাইছে, ক্যাব ক্যানসেল করুন',
      '{minutes} মিনিট দাঁড়িয়ে আছি, অটো লাগবে না cancel',
    ],
    driver_location: [
      'ড্রাইভার কোথায়?',
      'আমি {pickup} এর সামনে, গাড়ি আর কতদূর?',
      'ড্রাইভার ফোন ধরছে না, আমার নম্বর {phone}',
    ],
    fare_estimate: [
      '{pickup} থেকে {drop} ভাড়া কত?',
      '{city} থেকে {city2} ট্যাক্সি কত নেবে?',
      'এইটুকু রাস্তার জন্য {amount} কেন?',
    ],
    lost_item: [
      'ক্যাবে আমার {item} ফেলে এসেছি',
      'অটোতে {item} রয়ে গেছে, {phone} নম্বরে ফোন করুন',
      '{past_day} রাইডে {item} হারিয়ে গেছে',
    ],
  },
  health: {
    book_appointment: [
      '{day} {specialty} এর অ্যাপয়েন্টমেন্ট চাই',
      '{place} এর কাছে কোনো {specialty} আছেন?',
      'মাকে {specialty} দেখাতে চাই, {day} {time}',
    ],
    cancel_appointment: [
      '{day} এর অ্যাপয়েন্টমেন্ট বাতিল করুন',
      'আমি {day} আসতে পারব না, {specialty} এর বুকিং ক্যানসেল করুন',
      'ডাক্তারের অ্যাপয়েন্টমেন্ট বাতিল করে {amount} ফেরত দিন',
    ],
    order_medicine: [
      '{medicine} আর {medicine2} লাগবে',
      '{medicine} আছে? {qty} পাতা চাই',
      '{day} {medicine} বাড়িতে পাঠান, প্রেসক্রিপশন {email} থেকে পাঠিয়েছি',
    ],
    lab_report: ['{test} এর রিপোর্ট কবে পাব?', '{test} এর রিপোর্ট {email} এ পাঠান', '{test} রিপোর্টের লিঙ্ক খুলছে না'],
    consult_doctor: [
      '{qty} দিন ধরে জ্বর, কী করব?',
      'পেটে ব্যথা, ডাক্তারের সঙ্গে কথা বলতে চাই',
      '{medicine} এর সঙ্গে {medicine2} খাওয়া যাবে?',
    ],
  },
  payment: {
    pay_bill: ['{bill} দিতে চাই, {amount}', '{bill} জমা দেওয়ার শেষ তারিখ কবে?', '{day} {bill} পেমেন্ট করব'],
    recharge_mobile: [
      '{phone} নম্বরে {amount} রিচার্জ করুন',
      '{amount} রিচার্জ করলাম, এখনও চালু হয়নি',
      '{days} দিনের কোন প্ল্যান ভালো?',
    ],
    check_balance: ['আমার ওয়ালেটে কত টাকা আছে?', 'শেষ {qty} লেনদেন দেখান', '{amount} ক্যাশব্যাক কি এসেছে?'],
    failed_payment: [
      '{amount} কেটে গেছে কিন্তু পেমেন্ট ফেল',
      'অর্ডার {order_id} এর জন্য দুবার {amount} কেটেছে',
      'UPI pending দেখাচ্ছে, {amount}, আইডি {upi_id}',
    ],
    send_money: [
      '{upi_id} তে {amount} পাঠাও',
      '{phone} নম্বরে {amount} ট্রান্সফার করব',
      'UPI দিয়ে একবারে {amount} পাঠানো যায়?',
    ],
  },
  general: {
    greeting: ['নমস্কার', 'সুপ্রভাত', 'হ্যালো, কেউ আছেন?'],
    thanks: ['অনেক ধন্যবাদ', 'ধন্যবাদ, {product} পেয়ে গেছি', '{dish} দারুণ ছিল, ধন্যবাদ 🙏', '{amount} পেয়েছি, ধন্যবাদ'],
    complaint: [
      'আপনাদের পরিষেবা খুব খারাপ',
      '{minutes} মিনিট ধরে কেউ উত্তর দিচ্ছে না',
      '{past_day} তিনবার অ্যাপ বন্ধ হয়ে গেল',
    ],
    talk_to_human: [
      'আমি মানুষের সঙ্গে কথা বলতে চাই',
      'কাস্টমার কেয়ারে দিন, অর্ডার {order_id}',
      '{phone} নম্বরে ফোন করুন, বট কিছু বুঝছে না',
    ],
    out_of_scope: ['{day} {city} শহরে বৃষ্টি হবে?', '{dish} কীভাবে রান্না করে?', 'একটা মজার গল্প বলো', 'ম্যাচ কে জিতল'],
  },
};
