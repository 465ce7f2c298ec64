import type { StreamMode } from './protocol'

/** A page that nobody sees is told the latest values this often, in ms. */
export const HIDDEN_INTERVAL_MS = 5000
/** So is a page that cannot draw as fast as readings come. */
export const SLOW_INTERVAL_MS = 1000
/** A change that waits this long to be drawn, on average, is too slow, in ms. */
export const SLOW_FRAME_MS = 250
/** Below this the page keeps up again, in ms. */
export const QUICK_FRAME_MS = 60
/** How long it must keep up before every reading is asked for again, in ms. */
export const RECOVERY_MS = 20_000

/**
 * How much of the stream a page can take: every reading, or the latest values
 * when it lies in the background, draws too slowly, or was closed by the hub as
 * a slow consumer. It comes back to every reading only after a while, so that a
 * page at its limit does not go to and fro. Free of the browser.
 */
export class Pace {
  private hidden = false
  private slow = false
  private average = 0
  private quickSince: number | undefined
  private told = JSON.stringify({ mode: 'every' })

  constructor(
    private readonly apply: (mode: StreamMode) => void,
    private readonly now: () => number = Date.now,
  ) {}

  /** The page was hidden or shown. */
  setHidden(hidden: boolean): void {
    this.hidden = hidden
    this.average = 0 // the first frame after is late by as long as it was hidden
    this.quickSince = undefined
    this.tell()
  }

  /** A change was drawn, so many ms after it came. */
  drawn(ms: number): void {
    if (this.hidden) return
    this.average += (Math.min(ms, 2000) - this.average) / 8
    if (!this.slow) {
      if (this.average > SLOW_FRAME_MS) this.fallBehind()
      return
    }
    if (this.average > QUICK_FRAME_MS) this.quickSince = undefined
    else this.quickSince ??= this.now()
    if (this.quickSince !== undefined && this.now() - this.quickSince >= RECOVERY_MS) {
      this.slow = false
      this.tell()
    }
  }

  /** The hub closed the connection of a slow consumer (4100), or the page is late otherwise. */
  fallBehind(): void {
    this.slow = true
    this.quickSince = undefined
    this.tell()
  }

  private tell(): void {
    const mode: StreamMode = this.hidden
      ? { mode: 'latest', minIntervalMs: HIDDEN_INTERVAL_MS }
      : this.slow
        ? { mode: 'latest', minIntervalMs: SLOW_INTERVAL_MS }
        : { mode: 'every' }
    const key = JSON.stringify(mode)
    if (key === this.told) return
    this.told = key
    this.apply(mode)
  }
}
