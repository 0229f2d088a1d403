import type { Orders } from '../intents.ts';

export const mrOrders: Orders = {
  food: {
    order_food: ['मला {qty} प्लेट {dish} पाहिजे', '{restaurant} मधून {dish} मागवायचं आहे', '{dish} आणि {dish2} पाठवा'],
    track_order: [
      'माझं जेवण कुठे पोहोचलं? ऑर्डर {order_id}',
      '{minutes} मिनिटं झाली, {dish} अजून मिळालं नाही',
      'जेवणाची ऑर्डर {order_id} कधी येईल?',
    ],
    cancel_order: [
      'जेवणाची ऑर्डर {order_id} रद्द करा',
      'चुकून {dish} ऑर्डर झालं, कॅन्सल करा',
      'आता {dish} नको, ऑर्डर cancel करा',
    ],
    report_wrong_item: [
      '{dish} मागवलं होतं, {dish2} आलं',
      'ऑर्डर {order_id} मध्ये {dish} नव्हतं',
      '{restaurant} चं जेवण शिळं होतं, {amount} परत द्या',
    ],
    restaurant_hours: [
      '{restaurant} {day} उघडं आहे का?',
      '{restaurant} किती वाजता बंद होतं',
      '{place} जवळ {dish} कुठे मिळेल?',
    ],
  },
  shop: {
    search_product: ['{amount} च्या आत {product} दाखवा', '{product} ची किंमत किती आहे?', 'चांगल्यातला {product} हवा आहे'],
    track_order: [
      'माझा {product} कुठे आहे? ऑर्डर {order_id}',
      'ऑर्डर {order_id} चं स्टेटस सांगा',
      '{product} {past_day} येणार होता, अजून आला नाही',
    ],
    return_product: [
      '{product} परत करायचा आहे, ऑर्डर {order_id}',
      '{product} खराब निघाला, बदलून द्या',
      'साइज चुकीची आहे, {product} रिटर्न कसा करायचा?',
    ],
    refund_status: [
      'माझा {amount} चा रिफंड कधी येईल?',
      'ऑर्डर {order_id} चे पैसे परत मिळाले नाहीत',
      'रिफंडची माहिती {email} वर पाठवा',
    ],
    apply_coupon: ['कूपन {coupon} चालत नाही', '{product} वर काही ऑफर आहे का?', '{coupon} टाकलं पण सूट मिळाली नाही'],
  },
  parcel: {
    book_parcel: [
      '{city} ते {city2} कुरिअर बुक करायचं आहे',
      '{day} पार्सल पाठवायचं आहे, पिकअप {pickup}',
      '{weight} पार्सल पाठवायचं आहे, माझा नंबर {phone}',
    ],
    track_parcel: [
      'पार्सल {tracking_id} कुठे पोहोचलं?',
      '{tracking_id} ट्रॅक करून सांगा',
      '{qty} दिवस झाले, कुरिअर {tracking_id} अजून आलं नाही',
    ],
    reschedule_delivery: [
      'मी घरी नाही, {tracking_id} {day} पाठवा',
      'डिलिव्हरी {time} कराल का?',
      '{tracking_id} ची तारीख बदला, आधी {phone} वर फोन करा',
    ],
    delivery_charges: [
      '{city} ते {city2} कुरिअरचा खर्च किती?',
      '{weight} पाठवायला किती लागतील',
      '{weight} साठी {amount} लागतील का?',
    ],
    damaged_parcel: [
      'पार्सल {tracking_id} तुटलेलं मिळालं',
      'बॉक्स उघडा होता आणि {product} तुटला आहे',
      'पार्सल भिजून आलं, {amount} कोण देणार?',
    ],
  },
};
