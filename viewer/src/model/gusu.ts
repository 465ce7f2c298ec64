// Schematic backdrop of Gusu, Suzhou's old town, WGS 84 lon, lat. The lines
// are drafted from landmark points and are good to about ±150 m: they help the
// eye to find its way and are no survey, and the map says so. Landmark points:
// © OpenStreetMap contributors (ODbL).

export type LonLat = readonly [lon: number, lat: number]

/** The walled city and what lies just around it: what the map shows before any terminal is known. */
export const GUSU_BBOX: [number, number, number, number] = [120.598, 31.285, 120.641, 31.332]

/** The moat 环城河 as a closed ring. */
export const MOAT: readonly LonLat[] = [
  [120.6, 31.3175],
  [120.602, 31.3225],
  [120.6075, 31.3295],
  [120.6225, 31.331],
  [120.637, 31.3275],
  [120.6375, 31.3136],
  [120.639, 31.299],
  [120.6385, 31.288],
  [120.6215, 31.2855],
  [120.611, 31.2885],
  [120.6068, 31.2995],
  [120.601, 31.3127],
  [120.6, 31.3175],
]

/** Canals inside the moat; named as on the ground. */
export const CANALS: readonly { name: string; nameEn: string; line: readonly LonLat[] }[] = [
  {
    name: '干将河',
    nameEn: 'Ganjiang Canal',
    line: [
      [120.6098, 31.3073],
      [120.6178, 31.3088],
      [120.6263, 31.3109],
      [120.6348, 31.312],
    ],
  },
  {
    name: '平江河',
    nameEn: 'Pingjiang Canal',
    line: [
      [120.6299, 31.3225],
      [120.632, 31.3113],
    ],
  },
  {
    name: '临顿河',
    nameEn: 'Lindun Canal',
    line: [
      [120.624, 31.3262],
      [120.6263, 31.311],
    ],
  },
  {
    name: '学士河',
    nameEn: 'Xueshi Canal',
    line: [
      [120.6025, 31.3165],
      [120.6052, 31.3075],
      [120.6115, 31.2905],
    ],
  },
  {
    name: '桃花坞–东北街河',
    nameEn: 'Taohuawu – Dongbeijie Canal',
    line: [
      [120.603, 31.3195],
      [120.616, 31.323],
      [120.6245, 31.3243],
      [120.635, 31.326],
    ],
  },
  {
    name: '道前–十全河',
    nameEn: 'Daoqian – Shiquan Canal',
    line: [
      [120.6083, 31.2998],
      [120.6197, 31.3022],
      [120.6298, 31.3016],
      [120.6378, 31.3],
    ],
  },
]

/** The north–south axis of the walled city, 人民路. */
export const RENMIN_ROAD: readonly LonLat[] = [
  [120.615, 31.329],
  [120.6165, 31.3245],
  [120.6182, 31.309],
  [120.6203, 31.2975],
  [120.6215, 31.286],
]

/** Landmarks by which people of Suzhou find their way, the best known first. */
export const LANDMARKS: readonly { name: string; nameEn: string; at: LonLat }[] = [
  { name: '北寺塔', nameEn: 'Beisi Pagoda', at: [120.6154, 31.32454] },
  { name: '拙政园', nameEn: "Humble Administrator's Garden", at: [120.62461, 31.32599] },
  { name: '盘门', nameEn: 'Pan Gate', at: [120.61195, 31.28956] },
  { name: '阊门', nameEn: 'Chang Gate', at: [120.6014, 31.31731] },
  { name: '相门', nameEn: 'Xiang Gate', at: [120.63646, 31.31361] },
  { name: '网师园', nameEn: 'Master of the Nets Garden', at: [120.62984, 31.30038] },
  { name: '沧浪亭', nameEn: 'Canglang Pavilion', at: [120.62128, 31.29671] },
  { name: '平江路', nameEn: 'Pingjiang Road', at: [120.63008, 31.32137] },
  { name: '平门', nameEn: 'Ping Gate', at: [120.60746, 31.32872] },
  { name: '胥门', nameEn: 'Xu Gate', at: [120.60832, 31.2995] },
  { name: '怡园', nameEn: 'Garden of Pleasance', at: [120.61705, 31.30967] },
  { name: '艺圃', nameEn: 'Garden of Cultivation', at: [120.60476, 31.31543] },
  { name: '耦园', nameEn: "Couple's Retreat", at: [120.63406, 31.31837] },
  { name: '狮子林', nameEn: 'Lion Grove', at: [120.6247, 31.3234] },
]
