import type { Orders } from '../intents.ts';

export const teOrders: Orders = {
  food: {
    order_food: ['నాకు {qty} {dish} కావాలి', '{restaurant} నుంచి {dish} ఆర్డర్ చేయాలి', '{dish}, {dish2} పంపండి'],
    track_order: [
      'నా ఫుడ్ ఎక్కడ ఉంది? ఆర్డర్ {order_id}',
      '{minutes} నిమిషాలు అయింది, {dish} ఇంకా రాలేదు',
      'ఫుడ్ ఆర్డర్ {order_id} ఎప్పుడు వస్తుంది?',
    ],
    cancel_order: [
      'ఫుడ్ ఆర్డర్ {order_id} క్యాన్సిల్ చేయండి',
      'పొరపాటున {dish} ఆర్డర్ చేశాను, రద్దు చేయండి',
      '{dish} వద్దు, ఆర్డర్ cancel చేయండి',
    ],
    report_wrong_item: [
      '{dish} అడిగితే {dish2} వచ్చింది',
      'ఆర్డర్ {order_id} లో {dish} లేదు',
      '{restaurant} ఫుడ్ పాడైపోయింది, {amount} తిరిగి ఇవ్వండి',
    ],
    restaurant_hours: [
      '{restaurant} {day} తెరిచి ఉంటుందా?',
      '{restaurant} ఎన్ని గంటలకు మూసేస్తారు',
      '{place} దగ్గర {dish} ఎక్కడ దొరుకుతుంది?',
    ],
  },
  shop: {
    search_product: ['{amount} లోపు {product} చూపించండి', '{product} ధర ఎంత?', 'మంచి {product} కావాలి'],
    track_order: [
      'నేను కొన్న {product} ఎక్కడ ఉంది? ఆర్డర్ {order_id}',
      'ఆర్డర్ {order_id} స్టేటస్ చెప్పండి',
      '{product} {past_day} వస్తుందన్నారు, ఇంకా రాలేదు',
    ],
    return_product: [
      '{product} రిటర్న్ చేయాలి, ఆర్డర్ {order_id}',
      '{product} పని చేయడం లేదు, మార్చి ఇవ్వండి',
      'సైజు సరిపోలేదు, {product} ఎలా వెనక్కి పంపాలి?',
    ],
    refund_status: [
      'నా {amount} రీఫండ్ ఎప్పుడు వస్తుంది?',
      'ఆర్డర్ {order_id} డబ్బులు ఇంకా తిరిగి రాలేదు',
      'రీఫండ్ వివరాలు {email} కి పంపండి',
    ],
    apply_coupon: ['కూపన్ {coupon} పని చేయడం లేదు', '{product} మీద ఏదైనా ఆఫర్ ఉందా?', '{coupon} పెట్టాను కానీ డిస్కౌంట్ రాలేదు'],
  },
  parcel: {
    book_parcel: [
      '{city} నుంచి {city2} కి పార్సిల్ పంపాలి',
      '{day} {pickup} నుంచి కొరియర్ పికప్ కావాలి',
      '{weight} పార్సిల్ పంపాలి, నా నంబర్ {phone}',
    ],
    track_parcel: [
      'పార్సిల్ {tracking_id} ఎక్కడ ఉంది?',
      '{tracking_id} ట్రాక్ చేసి చెప్పండి',
      '{city} నుంచి నా పార్సిల్ ఇంకా రాలేదు, {tracking_id}',
    ],
    reschedule_delivery: [
      'ఇంట్లో ఎవరూ లేరు, {tracking_id} {day} తీసుకురండి',
      'డెలివరీ {time} చేయగలరా?',
      '{tracking_id} తేదీ మార్చండి, ముందు {phone} కి ఫోన్ చేయండి',
    ],
    delivery_charges: [
      '{city} నుంచి {city2} కి కొరియర్ చార్జ్ ఎంత?',
      '{weight} పంపడానికి ఎంత అవుతుంది',
      '{weight} కి {amount} అవుతుందా?',
    ],
    damaged_parcel: [
      'పార్సిల్ {tracking_id} పగిలిపోయి వచ్చింది',
      'బాక్స్ తెరిచి ఉంది, {product} పాడైపోయింది',
      'పార్సిల్ తడిసిపోయి వచ్చింది, {amount} ఎవరు ఇస్తారు?',
    ],
  },
};
