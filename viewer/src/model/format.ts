import type { Language, Result } from './datastream'

const numbers = new Map<string, Intl.NumberFormat>()

/** How many decimals are shown at most: fewer for larger numbers. */
function digitsFor(v: number, isCount: boolean): number {
  const size = Math.abs(v)
  return isCount || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 || size === 0 ? 2 : 3
}

/** How many decimals a number has as it was sent, 3 at most: 34 has none, 12.5 one. */
export function decimalsOf(v: number): number {
  for (let d = 0; d < 3; d++) if (Math.abs(v * 10 ** d - Math.round(v * 10 ** d)) < 1e-9 * Math.max(1, Math.abs(v * 10 ** d))) return d
  return 3
}

/**
 * A number as precise as its Datastream's readings are and as its size
 * deserves: 1,234 · 123.4 · 12.34 · 0.123. `decimals` is the most that a
 * reading of the Datastream has had, so that a column keeps its decimal
 * places while values move and shows no precision that was never measured.
 */
export function formatNumber(v: number, language: Language, isCount = false, decimals = 3): string {
  if (!Number.isFinite(v)) return '—'
  const digits = Math.min(digitsFor(v, isCount), decimals)
  const key = `${language}/${digits}`
  let f = numbers.get(key)
  if (!f) {
    f = new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits })
    numbers.set(key, f)
  }
  return f.format(v)
}

/** A result as text; `truth` gives the words for true and false. */
export function formatResult(r: Result | undefined, resultType: string, language: Language, truth: readonly [string, string], decimals = 3): string {
  if (r === undefined) return '—'
  if (typeof r === 'boolean') return r ? truth[0] : truth[1]
  if (typeof r === 'string') return r
  if (resultType === 'OM_TruthObservation') return r ? truth[0] : truth[1]
  return formatNumber(r, language, resultType === 'OM_CountObservation', decimals)
}

const times = new Map<string, Intl.DateTimeFormat>()

/** A time in the reader's zone, with the zone: 2026-05-01 14:03:22 GMT+8. */
export function formatTime(ms: number, language: Language, timeZone?: string): string {
  if (!Number.isFinite(ms)) return '—'
  const key = `${language}/${timeZone ?? ''}`
  let f = times.get(key)
  if (!f) {
    f = new Intl.DateTimeFormat('en-GB', {
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      hourCycle: 'h23',
      timeZoneName: 'shortOffset',
      ...(timeZone ? { timeZone } : {}),
    })
    times.set(key, f)
  }
  const p: Record<string, string> = {}
  for (const part of f.formatToParts(ms)) p[part.type] = part.value
  return `${p['year']}-${p['month']}-${p['day']} ${p['hour']}:${p['minute']}:${p['second']} ${p['timeZoneName']}`
}

/** Degrees with hemisphere: 120.62°E. */
export function formatDegrees(v: number, axis: 'lon' | 'lat', digits: number): string {
  const side = axis === 'lon' ? (v < 0 ? 'W' : 'E') : v < 0 ? 'S' : 'N'
  return `${Math.abs(v).toFixed(digits)}°${side}`
}
