import type { Services } from '../intents.ts';

export const mrServices: Services = {
  ride: {
    book_ride: [
      '{pickup} ते {drop} कॅब बुक करा',
      '{time} रिक्षा पाहिजे, {drop} ला जायचं आहे',
      '{day} {time} टॅक्सी हवी आहे, पिकअप {pickup}',
    ],
    cancel_ride: [
      'माझी राइड रद्द करा',
      'ड्रायव्हर {amount} जास्त मागतोय, कॅब कॅन्सल करा',
      '{minutes} मिनिटं थांबलोय, रिक्षा नको cancel करा',
    ],
    driver_location: [
      'ड्रायव्हर कुठे आहे?',
      'कॅब कधी येईल? मी {pickup} जवळ उभा आहे',
      'ड्रायव्हर फोन उचलत नाही, माझा नंबर {phone}',
    ],
    fare_estimate: [
      '{pickup} ते {drop} किती भाडं होईल?',
      '{city} ते {city2} टॅक्सी किती घेईल',
      'एवढ्याशा अंतरासाठी {amount} का?',
    ],
    lost_item: [
      'माझं सामान कॅबमध्ये राहिलं: {item}',
      'रिक्षात {item} विसरलो, {phone} वर फोन करा',
      '{past_day} प्रवासात {item} विसरले, कसं परत मिळेल?',
    ],
  },
  health: {
    book_appointment: [
      '{day} {specialty} यांची अपॉइंटमेंट पाहिजे',
      '{place} जवळ {specialty} आहेत का?',
      'आईला {specialty} यांना दाखवायचं आहे, {day} {time}',
    ],
    cancel_appointment: [
      '{day} ची अपॉइंटमेंट रद्द करा',
      'मला {day} येता येणार नाही, {specialty} यांची वेळ रद्द करा',
      'डॉक्टरची अपॉइंटमेंट कॅन्सल करून {amount} परत द्या',
    ],
    order_medicine: [
      '{medicine} आणि {medicine2} पाहिजे',
      '{medicine} आहे का? {qty} पाकिटं हवीत',
      '{day} {medicine} घरी पाठवा, प्रिस्क्रिप्शन {email} वरून पाठवलं आहे',
    ],
    lab_report: ['{test} रिपोर्ट कधी मिळेल?', '{test} रिपोर्ट {email} वर पाठवा', '{test} रिपोर्टची लिंक उघडत नाही'],
    consult_doctor: [
      '{qty} दिवस ताप आहे, काय करू?',
      'पोट दुखतंय, डॉक्टरांशी बोलायचं आहे',
      '{medicine} सोबत {medicine2} घेतलं तर चालेल का?',
    ],
  },
  payment: {
    pay_bill: ['{bill} भरायचं आहे, {amount}', '{bill} भरायची शेवटची तारीख काय?', '{day} {bill} भरा'],
    recharge_mobile: [
      '{phone} वर {amount} चा रिचार्ज करा',
      '{amount} चा रिचार्ज केला, अजून चालू झाला नाही',
      '{days} दिवसांचा कोणता प्लॅन चांगला आहे?',
    ],
    check_balance: ['माझ्या वॉलेटमध्ये किती पैसे आहेत?', 'शेवटचे {qty} व्यवहार दाखवा', '{amount} कॅशबॅक आला का?'],
    failed_payment: [
      '{amount} कापले गेले पण पेमेंट फेल झालं',
      'ऑर्डर {order_id} साठी दोनदा {amount} कापले',
      'UPI pending दाखवतंय, {amount}, आयडी {upi_id}',
    ],
    send_money: [
      '{upi_id} वर {amount} पाठव',
      '{phone} वर {amount} ट्रान्सफर करायचे आहेत',
      'UPI ने एका वेळी {amount} पाठवता येतील का?',
    ],
  },
  general: {
    greeting: ['नमस्कार', 'शुभ सकाळ', 'हॅलो, कोणी आहे का?'],
    thanks: ['खूप धन्यवाद', 'धन्यवाद, {product} मिळाला', '{dish} मस्त होतं, आभारी आहे 🙏', '{amount} मिळाले, धन्यवाद'],
    complaint: ['तुमची सेवा खूप खराब आहे', '{minutes} मिनिटं झाली, कोणी उत्तर देत नाही', '{past_day} तिसऱ्यांदा ॲप बंद पडलं'],
    talk_to_human: [
      'मला माणसाशी बोलायचं आहे',
      'कस्टमर केअरला जोडा, ऑर्डर {order_id}',
      '{phone} वर कॉल करा, बॉटला काही कळत नाही',
    ],
    out_of_scope: ['{city}: {day} पाऊस पडेल का?', '{dish} कसं बनवायचं?', 'एक विनोद सांग', 'मॅच कोण जिंकलं'],
  },
};
