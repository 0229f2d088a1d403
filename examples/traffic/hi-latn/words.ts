import type { Words } from '../intents.ts';

/** Products and lost items are all masculine, so that a pattern agrees with each of them. */
export const hiLatnWords: Words = {
  dish: ['masala dosa', 'chicken biryani', 'paneer tikka', 'chole bhature', 'aloo paratha', 'rajma chawal', 'pav bhaji', 'veg momos', 'dal makhani', 'kathi roll'],
  restaurant: ['Annapurna Kitchen', 'Dosa Corner', 'Tandoor Junction', 'Spice Lane', 'Shuddh Rasoi'],
  product: ['mobile cover', 'pressure cooker', 'cotton kurta', 'headphone', 'school bag', 'mixer', 'table lamp', 'backpack', 'power bank'],
  place: ['airport', 'railway station', 'bus stand', 'Lajpat Nagar', 'Andheri', 'sector 18', 'Hazratganj', 'MG Road', 'Rajwada'],
  city: ['Delhi', 'Lucknow', 'Jaipur', 'Indore', 'Patna', 'Mumbai', 'Pune', 'Bhopal', 'Kanpur'],
  day: ['aaj', 'kal', 'parso', 'Monday ko', 'Saturday ko', 'shukravar ko'],
  time: ['10 baje', 'shaam 5 baje', 'raat 8 baje', 'subah 7 baje', 'dopahar 2 baje'],
  specialty: ['dentist', 'skin doctor', 'bachcho ke doctor', 'aankh ke doctor', 'heart specialist', 'physician'],
  medicine: ['paracetamol', 'cough syrup', 'vitamin D', 'ORS', 'insulin', 'eye drop', 'gas ki dawai'],
  test: ['sugar test', 'thyroid test', 'blood test', 'B12 test', 'urine test'],
  bill: ['bijli ka bill', 'pani ka bill', 'gas ka bill', 'wifi ka bill', 'credit card ka bill'],
  item: ['phone', 'purse', 'chhata', 'bag', 'chashma', 'laptop', 'charger'],
  opener: ['bhai ', 'hello ', 'sir ', 'arre yaar ', 'namaste, ', 'suno ', 'bhaiya '],
  closer: [' please', ' pls', ' jaldi', ' bhai', ' yaar', ' urgent hai', ' sir ji'],
};
