import type { Datastream } from '../src/model/datastream'

/** A Datastream for tests, unlike others by its id. */
export function datastream(id: number, more: Partial<Datastream> = {}): Datastream {
  return {
    id,
    terminal: `t-${id}`,
    name: `站${id}`,
    nameEn: `Station ${id}`,
    property: 'pm25',
    title: '细颗粒物',
    titleEn: 'PM2.5',
    unit: 'µg/m³',
    ucum: 'ug/m3',
    result: 'OM_Measurement',
    domain: 'environment',
    lon: 120.62,
    lat: 31.31,
    dataset: 'gusu-air',
    simulated: false,
    ...more,
  }
}
