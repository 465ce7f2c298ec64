/** An age in the unit it is best read in. */
export interface Age {
  n: number
  unit: 'seconds' | 'minutes' | 'hours' | 'days' | 'years'
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY

/** Age of a phenomenon time. A time somewhat in the future, which the hub allows, is age zero. */
export function ageOf(timeMs: number, nowMs: number): Age {
  const ms = Math.max(0, nowMs - timeMs)
  if (ms < 2 * MINUTE) return { n: Math.floor(ms / SECOND), unit: 'seconds' }
  if (ms < 2 * HOUR) return { n: Math.floor(ms / MINUTE), unit: 'minutes' }
  if (ms < 2 * DAY) return { n: Math.floor(ms / HOUR), unit: 'hours' }
  if (ms < 2 * YEAR) return { n: Math.floor(ms / DAY), unit: 'days' }
  return { n: Math.floor(ms / YEAR), unit: 'years' }
}

/** Readings this many usual intervals old are stale … */
export const STALE_INTERVALS = 4
/** … but never younger than this, so that a jittery fast feed does not flicker … */
export const STALE_AT_LEAST_MS = 15 * SECOND
/** … and this old where the usual interval is not known. */
export const STALE_UNKNOWN_MS = 10 * MINUTE

/** Whether a reading is older than its Datastream usually lets it get. */
export function isStale(timeMs: number, nowMs: number, usualIntervalMs: number): boolean {
  const limit = Number.isNaN(usualIntervalMs) ? STALE_UNKNOWN_MS : Math.max(STALE_AT_LEAST_MS, STALE_INTERVALS * usualIntervalMs)
  return nowMs - timeMs > limit
}
