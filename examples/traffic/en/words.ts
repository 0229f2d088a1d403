import type { Words } from '../intents.ts';

export const enWords: Words = {
  dish: ['masala dosa', 'chicken biryani', 'paneer tikka', 'veg thali', 'chole bhature', 'butter naan', 'idli sambar', 'pav bhaji', 'egg roll', 'rajma chawal'],
  restaurant: ['Annapurna Kitchen', 'Dosa Corner', 'Tandoor Junction', 'Green Leaf Cafe', 'Spice Lane', 'Malabar Table'],
  product: ['phone cover', 'pressure cooker', 'cotton kurta', 'wireless headphones', 'school bag', 'mixer grinder', 'running shoes', 'table lamp', 'steel water bottle'],
  place: ['airport', 'MG Road', 'railway station', 'Andheri West', 'Koramangala', 'Sector 18', 'bus stand', 'Salt Lake', 'T Nagar', 'Banjara Hills'],
  city: ['Pune', 'Chennai', 'Jaipur', 'Kolkata', 'Hyderabad', 'Bengaluru', 'Lucknow', 'Kochi', 'Indore', 'Nagpur'],
  day: ['today', 'tomorrow', 'on Monday', 'on Saturday', 'day after tomorrow', 'this Friday'],
  time: ['10 am', '5:30 pm', '8 pm', '11:15 am', '6 in the evening', '7 am'],
  specialty: ['dentist', 'skin specialist', 'child specialist', 'eye doctor', 'general physician', 'heart specialist', 'ENT doctor'],
  medicine: ['paracetamol', 'cough syrup', 'vitamin D3', 'ORS sachets', 'antacid', 'eye drops', 'insulin'],
  test: ['blood sugar', 'thyroid', 'CBC', 'vitamin B12', 'lipid profile', 'urine'],
  bill: ['electricity bill', 'water bill', 'gas bill', 'broadband bill', 'credit card bill', 'DTH bill'],
  item: ['phone', 'wallet', 'umbrella', 'laptop bag', 'spectacles', 'house keys', 'charger'],
  opener: ['Hi, ', 'hey ', 'Hello, ', 'sir ', 'ok so ', 'Hi team, '],
  closer: [' please', ' pls', ' asap', ' thanks', ', urgent', ' quickly', ' yaar'],
};
