import type { Orders } from '../intents.ts';

export const knOrders: Orders = {
  food: {
    order_food: ['ನನಗೆ {qty} {dish} ಬೇಕು', '{restaurant} ಹೋಟೆಲ್‌ನಿಂದ {dish} ಆರ್ಡರ್ ಮಾಡಬೇಕು', '{dish} ಮತ್ತು {dish2} ಕಳಿಸಿ'],
    track_order: [
      'ನನ್ನ ಊಟ ಎಲ್ಲಿದೆ? ಆರ್ಡರ್ {order_id}',
      '{minutes} ನಿಮಿಷ ಆಯ್ತು, {dish} ಇನ್ನೂ ಬಂದಿಲ್ಲ',
      'ಊಟದ ಆರ್ಡರ್ {order_id} ಯಾವಾಗ ಬರುತ್ತೆ?',
    ],
    cancel_order: ['ಊಟದ ಆರ್ಡರ್ {order_id} ಕ್ಯಾನ್ಸಲ್ ಮಾಡಿ', 'ತಪ್ಪಾಗಿ {dish} ಆರ್ಡರ್ ಮಾಡಿದೆ, ರದ್ದು ಮಾಡಿ', '{dish} ಬೇಡ, ಆರ್ಡರ್ cancel ಮಾಡಿ'],
    report_wrong_item: [
      '{dish} ಕೇಳಿದ್ದೆ, {dish2} ಬಂದಿದೆ',
      'ಆರ್ಡರ್ {order_id} ಒಳಗೆ {dish} ಇರಲಿಲ್ಲ',
      '{restaurant} ಊಟ ಹಳಸಿತ್ತು, {amount} ವಾಪಸ್ ಕೊಡಿ',
    ],
    restaurant_hours: [
      '{restaurant} {day} ತೆರೆದಿರುತ್ತಾ?',
      '{restaurant} ಎಷ್ಟು ಗಂಟೆಗೆ ಮುಚ್ಚುತ್ತಾರೆ',
      '{place} ಹತ್ತಿರ {dish} ಎಲ್ಲಿ ಸಿಗುತ್ತೆ?',
    ],
  },
  shop: {
    search_product: ['{amount} ಒಳಗೆ {product} ತೋರಿಸಿ', '{product} ಬೆಲೆ ಎಷ್ಟು?', 'ಒಂದು ಒಳ್ಳೆಯ {product} ಬೇಕು'],
    track_order: [
      'ನಾನು ತಗೊಂಡ {product} ಎಲ್ಲಿದೆ? ಆರ್ಡರ್ {order_id}',
      'ಆರ್ಡರ್ {order_id} ಸ್ಟೇಟಸ್ ಹೇಳಿ',
      '{product} {past_day} ಬರಬೇಕಿತ್ತು, ಇನ್ನೂ ಬಂದಿಲ್ಲ',
    ],
    return_product: [
      '{product} ವಾಪಸ್ ಮಾಡಬೇಕು, ಆರ್ಡರ್ {order_id}',
      '{product} ಕೆಲಸ ಮಾಡ್ತಿಲ್ಲ, ಬದಲಾಯಿಸಿ ಕೊಡಿ',
      'ಸೈಜ್ ಸರಿಯಿಲ್ಲ, {product} ಹೇಗೆ ರಿಟರ್ನ್ ಮಾಡೋದು?',
    ],
    refund_status: [
      'ನನ್ನ {amount} ರೀಫಂಡ್ ಯಾವಾಗ ಬರುತ್ತೆ?',
      'ಆರ್ಡರ್ {order_id} ದುಡ್ಡು ಇನ್ನೂ ವಾಪಸ್ ಬಂದಿಲ್ಲ',
      'ರೀಫಂಡ್ ಮಾಹಿತಿ {email} ಗೆ ಕಳಿಸಿ',
    ],
    apply_coupon: ['ಕೂಪನ್ {coupon} ಕೆಲಸ ಮಾಡ್ತಿಲ್ಲ', '{product} ಮೇಲೆ ಏನಾದ್ರೂ ಆಫರ್ ಇದೆಯಾ?', '{coupon} ಹಾಕಿದೆ ಆದ್ರೆ ಡಿಸ್ಕೌಂಟ್ ಬರಲಿಲ್ಲ'],
  },
  parcel: {
    book_parcel: [
      'ಕೊರಿಯರ್ ಬುಕ್ ಮಾಡಬೇಕು: ಪಿಕಪ್ {pickup}, ಡ್ರಾಪ್ {drop}',
      '{day} {weight} ಪಾರ್ಸೆಲ್ ಕಳಿಸಬೇಕು',
      'ಪಾರ್ಸೆಲ್ ಪಿಕಪ್ ಬೇಕು, ಊರು {city}, ನನ್ನ ನಂಬರ್ {phone}',
    ],
    track_parcel: [
      'ಪಾರ್ಸೆಲ್ {tracking_id} ಎಲ್ಲಿದೆ?',
      '{tracking_id} ಟ್ರ್ಯಾಕ್ ಮಾಡಿ ಹೇಳಿ',
      '{qty} ದಿನದಿಂದ ಕೊರಿಯರ್ ಬಂದಿಲ್ಲ, {tracking_id}',
    ],
    reschedule_delivery: [
      'ಮನೇಲಿ ಯಾರೂ ಇಲ್ಲ, {tracking_id} {day} ತನ್ನಿ',
      'ಡೆಲಿವರಿ {time} ಮಾಡ್ತೀರಾ?',
      '{tracking_id} ದಿನಾಂಕ ಬದಲಾಯಿಸಿ, ಮೊದಲು {phone} ಗೆ ಫೋನ್ ಮಾಡಿ',
    ],
    delivery_charges: [
      '{weight} ಕಳಿಸೋಕೆ ಎಷ್ಟಾಗುತ್ತೆ? ಊರು {city}',
      'ಕೊರಿಯರ್ ಚಾರ್ಜ್ ಎಷ್ಟು, {pickup} ಟು {drop}',
      '{weight} ಪಾರ್ಸೆಲ್ {amount} ಆಗುತ್ತಾ?',
    ],
    damaged_parcel: [
      'ಪಾರ್ಸೆಲ್ {tracking_id} ಒಡೆದು ಬಂದಿದೆ',
      'ಬಾಕ್ಸ್ ತೆರೆದಿತ್ತು, {product} ಹಾಳಾಗಿದೆ',
      'ಪಾರ್ಸೆಲ್ ನೆನೆದು ಬಂದಿದೆ, {amount} ಯಾರು ಕೊಡ್ತಾರೆ?',
    ],
  },
};
