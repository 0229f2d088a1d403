import type { Orders } from '../intents.ts';

export const taOrders: Orders = {
  food: {
    order_food: [
      'எனக்கு {qty} {dish} வேண்டும்',
      '{restaurant} கடையில் இருந்து {dish} ஆர்டர் பண்ணணும்',
      '{dish}, {dish2} இரண்டும் அனுப்புங்க',
    ],
    track_order: [
      'என் சாப்பாடு எங்கே? ஆர்டர் {order_id}',
      '{minutes} நிமிஷம் ஆச்சு, {dish} இன்னும் வரல',
      'உணவு ஆர்டர் {order_id} எப்போ வரும்?',
    ],
    cancel_order: [
      'சாப்பாடு ஆர்டர் {order_id} கேன்சல் பண்ணுங்க',
      'தெரியாம {dish} ஆர்டர் பண்ணிட்டேன், ரத்து செய்யுங்க',
      '{dish} இனி வேண்டாம், ஆர்டர் cancel பண்ணுங்க',
    ],
    report_wrong_item: [
      '{dish} கேட்டேன், {dish2} வந்திருக்கு',
      'ஆர்டர் {order_id} உள்ளே {dish} இல்லை',
      '{restaurant} உணவு கெட்டுப் போயிருந்தது, {amount} திருப்பித் தாங்க',
    ],
    restaurant_hours: [
      '{restaurant} {day} திறந்திருக்குமா?',
      '{restaurant} எத்தனை மணிக்கு மூடுவாங்க',
      '{place} பக்கத்தில் {dish} எங்கே கிடைக்கும்?',
    ],
  },
  shop: {
    search_product: ['நல்ல {product} காட்டுங்க, பட்ஜெட் {amount}', '{product} விலை என்ன?', 'குறைந்த விலையில் {product} இருக்கா'],
    track_order: [
      'நான் வாங்கிய {product} எங்கே? ஆர்டர் {order_id}',
      'ஆர்டர் {order_id} ஸ்டேட்டஸ் சொல்லுங்க',
      '{product} {past_day} வரும்னு சொன்னீங்க, இன்னும் வரல',
    ],
    return_product: [
      '{product} ரிட்டர்ன் பண்ணணும், ஆர்டர் {order_id}',
      '{product} வேலை செய்யல, மாற்றிக் கொடுங்க',
      'அளவு சரியில்லை, {product} எப்படி திருப்பி அனுப்புவது?',
    ],
    refund_status: [
      'என் ரீஃபண்ட் {amount} எப்போ வரும்?',
      'ஆர்டர் {order_id} பணம் இன்னும் திரும்ப வரல',
      'ரீஃபண்ட் விவரம் {email} மெயிலுக்கு அனுப்புங்க',
    ],
    apply_coupon: [
      'கூப்பன் {coupon} வேலை செய்யல',
      '{product} வாங்க ஏதாவது ஆஃபர் இருக்கா?',
      '{coupon} போட்டேன் ஆனா தள்ளுபடி வரல',
    ],
  },
  parcel: {
    book_parcel: [
      '{city} முதல் {city2} வரை பார்சல் அனுப்பணும்',
      '{day} கூரியர் பிக்கப் வேண்டும், இடம் {pickup}',
      '{weight} பார்சல் அனுப்பணும், என் நம்பர் {phone}',
    ],
    track_parcel: [
      'பார்சல் {tracking_id} எங்கே இருக்கு?',
      '{tracking_id} டிராக் பண்ணி சொல்லுங்க',
      'கூரியர் {qty} நாளா வரல, {tracking_id}',
    ],
    reschedule_delivery: [
      'வீட்டில் ஆள் இல்லை, {tracking_id} {day} கொண்டு வாங்க',
      'டெலிவரி நேரம் {time} என மாற்றுங்க',
      '{tracking_id} தேதி மாற்றணும், முதலில் {phone} நம்பருக்கு கூப்பிடுங்க',
    ],
    delivery_charges: [
      '{city} வரை {weight} அனுப்ப எவ்வளவு ஆகும்?',
      '{city} முதல் {city2} வரை கூரியர் கட்டணம் என்ன',
      '{weight} பார்சல் {amount} தானா?',
    ],
    damaged_parcel: [
      'பார்சல் {tracking_id} உடைந்து வந்தது',
      'பெட்டி திறந்திருந்தது, {product} உடைஞ்சு போச்சு',
      'பார்சல் நனைஞ்சு வந்திருக்கு, {amount} யார் தருவாங்க?',
    ],
  },
};
