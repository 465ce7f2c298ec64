import { describe, expect, test } from 'vitest'
import { ageOf, isStale } from '../src/model/age'
import { propertyTitle, qualityName, terminalName } from '../src/model/datastream'
import { decimalsOf, formatDegrees, formatNumber, formatResult, formatTime } from '../src/model/format'
import { LANDMARKS, MOAT } from '../src/model/gusu'
import { boundsOf, boxAround, contains, fit, graticuleStep, latToY, lonToX, metresPerPixel, pan, scaleBar, toLonLat, toScreen, xToLon, yToLat, zoomAt } from '../src/model/mercator'

const s = 1000
const min = 60 * s
const h = 60 * min
const d = 24 * h

describe('age', () => {
  test.each([
    [-5 * s, 0, 'seconds'],
    [12_999, 12, 'seconds'],
    [119 * s, 119, 'seconds'],
    [2 * min, 2, 'minutes'],
    [119 * min, 119, 'minutes'],
    [2 * h, 2, 'hours'],
    [47 * h, 47, 'hours'],
    [3 * d, 3, 'days'],
    [13 * 365 * d, 13, 'years'],
  ] as const)('%d ms is %d %s', (ms, n, unit) => {
    expect(ageOf(1e12, 1e12 + ms)).toEqual({ n, unit })
  })

  test.each([
    ['unknown interval, 9 min', 9 * min, NaN, false],
    ['unknown interval, 11 min', 11 * min, NaN, true],
    ['every second, 14 s', 14 * s, s, false],
    ['every second, 16 s', 16 * s, s, true],
    ['hourly, 3 h', 3 * h, h, false],
    ['hourly, 5 h', 5 * h, h, true],
  ] as const)('stale: %s', (_, age, interval, stale) => {
    expect(isStale(0, age, interval)).toBe(stale)
  })
})

describe('format', () => {
  test.each([
    [1234.5, '1,235'],
    [123.45, '123.5'],
    [12.345, '12.35'],
    [0.1234, '0.123'],
    [0, '0.00'],
    [-3.1, '-3.10'],
    [NaN, '—'],
    [Infinity, '—'],
  ])('%d', (v, text) => {
    expect(formatNumber(v, 'en')).toBe(text)
    expect(formatNumber(v, 'zh-CN')).toBe(text)
  })
  test('no more decimals than were measured', () => {
    expect([34, 12.5, 3.1, 0.25, 0.058, -7, 1e6, 0.1 + 0.2, 1 / 3].map(decimalsOf)).toEqual([0, 1, 1, 2, 3, 0, 0, 1, 3])
    expect(formatNumber(34, 'en', false, 0)).toBe('34')
    expect(formatNumber(34, 'en', false, 1)).toBe('34.0')
    expect(formatNumber(123.45, 'en', false, 2)).toBe('123.5')
  })
  test('results of every type', () => {
    const words = ['yes', 'no'] as const
    expect(formatResult(1850, 'OM_CountObservation', 'en', words)).toBe('1,850')
    expect(formatResult(3.1, 'OM_Measurement', 'en', words)).toBe('3.10')
    expect(formatResult('raining', 'OM_CategoryObservation', 'en', words)).toBe('raining')
    expect(formatResult(true, 'OM_TruthObservation', 'en', words)).toBe('yes')
    expect(formatResult(0, 'OM_TruthObservation', 'en', words)).toBe('no')
    expect(formatResult(undefined, 'OM_Measurement', 'en', words)).toBe('—')
  })
  test('a time says its zone', () => {
    const ms = Date.UTC(2026, 4, 1, 16, 3, 22)
    expect(formatTime(ms, 'zh-CN', 'Asia/Shanghai')).toBe('2026-05-02 00:03:22 GMT+8')
    expect(formatTime(ms, 'en', 'UTC')).toMatch(/^2026-05-01 16:03:22 (GMT|UTC)/)
    expect(formatTime(NaN, 'en')).toBe('—')
  })
  test('degrees name the hemisphere', () => {
    expect([formatDegrees(120.62, 'lon', 2), formatDegrees(-0.5, 'lon', 1), formatDegrees(31.3, 'lat', 2), formatDegrees(-33, 'lat', 0)]).toEqual(['120.62°E', '0.5°W', '31.30°N', '33°S'])
  })
})

describe('names', () => {
  test('fall back to the other language, then to the code', () => {
    expect(terminalName({ name: '北寺塔', nameEn: '', terminal: 'x' }, 'en')).toBe('北寺塔')
    expect(terminalName({ name: '', nameEn: 'Pagoda', terminal: 'x' }, 'zh-CN')).toBe('Pagoda')
    expect(terminalName({ name: '', nameEn: '', terminal: 'x' }, 'en')).toBe('x')
    expect(propertyTitle({ title: '细颗粒物', titleEn: 'PM2.5', property: 'pm25' }, 'en')).toBe('PM2.5')
    expect(propertyTitle({ title: '', titleEn: '', property: 'pm25' }, 'zh-CN')).toBe('pm25')
  })
  test('quality marks', () => {
    expect([1, 2, 3, 4, 9, 77].map(qualityName)).toEqual(['good', 'notEvaluated', 'suspect', 'bad', 'missing', 'notEvaluated'])
  })
})

describe('Web Mercator', () => {
  // 北寺塔, and where EPSG:3857 has it (radius 6378137 m): x = R·λ, y = R·asinh(tan φ).
  const pagoda = LANDMARKS[0]!.at
  const half = Math.PI * 6378137
  test('agrees with EPSG:3857 at a landmark, longitude first', () => {
    expect((lonToX(pagoda[0]) * 2 - 1) * half).toBeCloseTo(6378137 * ((pagoda[0] * Math.PI) / 180), 3)
    expect((1 - latToY(pagoda[1]) * 2) * half).toBeCloseTo(6378137 * Math.asinh(Math.tan((pagoda[1] * Math.PI) / 180)), 3)
    expect(pagoda[0]).toBeGreaterThan(120)
  })
  test('is undone by its inverse', () => {
    for (const [lon, lat] of [...MOAT, [-179.9, -84] as const, [0, 0] as const]) {
      expect(xToLon(lonToX(lon))).toBeCloseTo(lon, 9)
      expect(yToLat(latToY(lat))).toBeCloseTo(lat, 9)
    }
  })
  const view = fit(boxAround(MOAT)!, 600, 800, 40)
  test('fit shows the whole box inside the margin, north up, east right', () => {
    for (const [lon, lat] of MOAT) {
      const [x, y] = toScreen(view, lon, lat)
      expect(x).toBeGreaterThanOrEqual(39.99)
      expect(x).toBeLessThanOrEqual(560.01)
      expect(y).toBeGreaterThanOrEqual(39.99)
      expect(y).toBeLessThanOrEqual(760.01)
    }
    expect(toScreen(view, 120.61, 31.33)[1]).toBeLessThan(toScreen(view, 120.61, 31.29)[1])
    expect(toScreen(view, 120.61, 31.3)[0]).toBeLessThan(toScreen(view, 120.63, 31.3)[0])
  })
  test('fit of a single point shows at least the metres asked for', () => {
    const v = fit([120.62, 31.31, 120.62, 31.31], 500, 500, 0, 800)
    expect(metresPerPixel(v) * 500).toBeCloseTo(800, 0)
  })
  test('zoom keeps the point under the pointer, pan moves it along', () => {
    const at = toLonLat(view, 100, 650)
    const z = zoomAt(view, 2, 100, 650)
    const [x, y] = toScreen(z, at[0], at[1])
    expect([x, y]).toEqual([expect.closeTo(100, 3), expect.closeTo(650, 3)])
    expect(z.scale).toBeCloseTo(view.scale * 2)
    const p = toScreen(pan(view, 30, -20), at[0], at[1])
    expect(p).toEqual([expect.closeTo(130, 3), expect.closeTo(630, 3)])
  })
  test('scale stays within the world and the street', () => {
    expect(zoomAt(view, 1e-9, 0, 0).scale).toBeGreaterThan(0)
    expect(metresPerPixel(zoomAt(view, 1e9, 0, 0))).toBeGreaterThan(0.01)
  })
  test('the scale bar is 1, 2 or 5 × 10ⁿ metres and true to the ground', () => {
    for (const f of [0.01, 0.3, 1, 3, 20]) {
      const v = zoomAt(view, f, 300, 400)
      const b = scaleBar(v, 120)
      expect(b.pixels).toBeLessThanOrEqual(120)
      expect(b.pixels).toBeGreaterThan(40)
      expect(String(b.metres)).toMatch(/^[125]0*$/)
      // Against the haversine between the bar's ends at the centre of the view.
      const [lon1, lat] = toLonLat(v, 300, 400)
      const [lon2] = toLonLat(v, 300 + b.pixels, 400)
      const r = Math.PI / 180
      const a = Math.cos(lat * r) ** 2 * Math.sin(((lon2 - lon1) * r) / 2) ** 2
      expect((2 * 6378137 * Math.asin(Math.sqrt(a))) / b.metres).toBeCloseTo(1, 2)
    }
  })
  test('graticule lines are far enough apart and labelled finely enough', () => {
    for (const f of [1e-4, 0.01, 0.3, 1, 3, 20]) {
      const v = zoomAt(view, f, 300, 400)
      const g = graticuleStep(v, 100)
      if (g.degrees < 90) expect((g.degrees * v.scale) / 360).toBeGreaterThanOrEqual(100)
      expect(Number((g.degrees * 7).toFixed(g.digits))).toBeCloseTo(g.degrees * 7, 9)
    }
  })
  test('bounds are west, south, east, north and clamp to the world', () => {
    const b = boundsOf(view)
    expect(contains(b, 120.62, 31.31)).toBe(true)
    expect(contains(b, 31.31, 120.62)).toBe(false)
    const world = boundsOf(zoomAt(view, 1e-9, 300, 400))
    expect(world[0]).toBeGreaterThanOrEqual(-180)
    expect(world[3]).toBeLessThanOrEqual(90)
  })
})
