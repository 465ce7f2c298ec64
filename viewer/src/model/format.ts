import type { Language, Result } from './datastream'

const numbers = new Map<string, Intl.NumberFormat>()

/**
 * A number with decimals after its size, so that a column of one property
 * keeps its decimal places while values move: 1,234 · 123.4 · 12.34 · 0.123.
 * Counts have none.
 */
export function formatNumber(v: number, language: Language, isCount = false): string {
  if (!Number.isFinite(v)) return '—'
  const size = Math.abs(v)
  const digits = isCount || size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 || size === 0 ? 2 : 3
  const key = `${language}/${digits}`
  let f = numbers.get(key)
  if (!f) {
    f = new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits })
    numbers.set(key, f)
  }
  return f.format(v)
}

/** A result as text; `truth` gives the words for true and false. */
export function formatResult(r: Result | undefined, resultType: string, language: Language, truth: readonly [string, string]): string {
  if (r === undefined) return '—'
  if (typeof r === 'boolean') return r ? truth[0] : truth[1]
  if (typeof r === 'string') return r
  if (resultType === 'OM_TruthObservation') return r ? truth[0] : truth[1]
  return formatNumber(r, language, resultType === 'OM_CountObservation')
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
