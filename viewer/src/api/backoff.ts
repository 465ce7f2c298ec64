/** First wait before a reconnect, in ms. */
export const BACKOFF_FIRST_MS = 500
/** Longest wait before a reconnect, in ms. */
export const BACKOFF_MAX_MS = 30_000

/**
 * Wait before reconnect number `attempt` (from 1): doubling from 0.5 s to 30 s,
 * of which a random half is taken off, so that ten thousand screens do not
 * come back in the same instant after a restart of the hub.
 */
export function backoffMs(attempt: number, random: () => number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(16, attempt - 1))
  return Math.round(full * (0.5 + 0.5 * random()))
}
