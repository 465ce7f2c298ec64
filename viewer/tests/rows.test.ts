import { describe, expect, test } from 'vitest'
import { countProperties, matches, newRow, searchWords, sortRows, takeObservation, terminalsOf, type Filter, type Row } from '../src/model/rows'
import { datastream } from './datastream'

const ids = (rows: Row[]) => rows.map((r) => r.datastream.id)

describe('an observation', () => {
  test('the newer wins, and of one instant the later', () => {
    const row = newRow(datastream(1))
    expect(takeObservation(row, 100, 1, 1)).toBe(true)
    expect(takeObservation(row, 90, 9, 4)).toBe(true) // joins the sparkline only
    expect([row.timeMs, row.result, row.quality]).toEqual([100, 1, 1])
    expect(takeObservation(row, 100, 2, 3)).toBe(true)
    expect([row.timeMs, row.result, row.quality]).toEqual([100, 2, 3])
    expect([row.ring.length, row.ring.value(0), row.ring.value(1)]).toEqual([2, 9, 2])
    expect(row.version).toBe(3)
  })
  test('a category has a value but no sparkline; an old one changes nothing', () => {
    const row = newRow(datastream(1, { result: 'OM_CategoryObservation' }))
    takeObservation(row, 100, 'rain', 1)
    expect([row.result, row.ring.length]).toEqual(['rain', 0])
    expect(takeObservation(row, 50, 'sun', 1)).toBe(false)
    expect(row.version).toBe(1)
  })
  test('a truth value is drawn as 0 and 1', () => {
    const row = newRow(datastream(1, { result: 'OM_TruthObservation' }))
    takeObservation(row, 1, false, 1)
    takeObservation(row, 2, true, 1)
    expect([row.ring.value(0), row.ring.value(1)]).toEqual([0, 1])
  })
})

describe('filter', () => {
  const none: Filter = { properties: new Set(), text: '', terminal: undefined, bbox: undefined }
  const row = newRow(datastream(1, { terminal: 'gusu-air-01', name: '北寺塔空气站' }))
  const placeless = newRow(datastream(2, { lon: null, lat: null }))
  test.each([
    ['nothing', none, true],
    ['its property', { ...none, properties: new Set(['no2', 'pm25']) }, true],
    ['another property', { ...none, properties: new Set(['no2']) }, false],
    ['its terminal', { ...none, terminal: 'gusu-air-01' }, true],
    ['another terminal', { ...none, terminal: 'gusu-air-02' }, false],
    ['a box around it', { ...none, bbox: [120, 31, 121, 32] as const }, true],
    ['a box elsewhere', { ...none, bbox: [116, 39, 117, 40] as const }, false],
    ['words in any case and order', { ...none, text: '  PM2.5 空气 ' }, true],
    ['a word it lacks', { ...none, text: 'pm2.5 水位' }, false],
  ] as [string, Filter, boolean][])('by %s', (_, f, yes) => {
    expect(matches(row, f, searchWords(f.text))).toBe(yes)
  })
  test('without a Location it is in no box', () => {
    expect(matches(placeless, { ...none, bbox: [-180, -90, 180, 90] }, [])).toBe(false)
    expect(matches(placeless, none, [])).toBe(true)
  })
})

describe('order', () => {
  const make = () => {
    const rows = [
      newRow(datastream(1, { name: '站10', property: 'pm25' })),
      newRow(datastream(2, { name: '站9', title: '臭氧', property: 'o3' })),
      newRow(datastream(3, { name: '站10', title: '臭氧', property: 'o3', terminal: 't-1' })),
      newRow(datastream(4, { name: '站2' })),
    ]
    takeObservation(rows[0]!, 300, 1, 1)
    takeObservation(rows[1]!, 100, 1, 1)
    takeObservation(rows[2]!, 200, 1, 1)
    return rows
  }
  test.each([
    ['name', false, [4, 2, 3, 1]],
    ['name', true, [3, 1, 2, 4]],
    ['property', false, [2, 3, 4, 1]],
    ['age', false, [1, 3, 2, 4]],
    ['age', true, [2, 3, 1, 4]], // never published stays last
  ] as const)('by %s, descending %s', (key, descending, want) => {
    expect(ids(sortRows(make(), { key, descending }, 'zh-CN'))).toEqual(want)
  })
})

test('terminals are put together from their datastreams', () => {
  const all = terminalsOf([newRow(datastream(1, { terminal: 'a' })), newRow(datastream(2, { terminal: 'a', simulated: true })), newRow(datastream(3, { terminal: 'b' }))])
  expect([...all.keys()]).toEqual(['a', 'b'])
  expect([all.get('a')!.rows.length, all.get('a')!.simulated, all.get('b')!.simulated]).toEqual([2, true, false])
})

test('properties are counted within the box, most frequent first', () => {
  const rows = [newRow(datastream(1, { property: 'o3' })), newRow(datastream(2)), newRow(datastream(3)), newRow(datastream(4, { lon: 10 }))]
  expect(countProperties(rows, undefined).map((p) => [p.property, p.count])).toEqual([
    ['pm25', 3],
    ['o3', 1],
  ])
  expect(countProperties(rows, [120, 31, 121, 32]).map((p) => [p.property, p.count])).toEqual([
    ['pm25', 2],
    ['o3', 1],
  ])
})
