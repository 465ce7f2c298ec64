import type { PastObservation } from '../api/observations'
import type { Row } from '../model/rows'

/** Requests for stored observations that run at the same time. */
export const MAX_IN_FLIGHT = 4
/** A request that failed is tried again after this, in ms, while its row is visible. */
export const RETRY_MS = 30_000
/** How long the visible rows must stand still before their past is fetched, in ms. */
const SETTLE_MS = 120

export interface HistoryOptions {
  fetch(datastream: number, signal: AbortSignal): Promise<PastObservation[]>
  loaded(datastream: number, past: PastObservation[]): void
}

/**
 * Fetches the past of rows that are on the screen, a few at a time and only
 * once they stand still: scrolling through thousands of rows asks for nothing.
 * A row whose past cannot be had keeps what the stream brings.
 */
export class HistoryLoader {
  private wanted: Row[] = []
  private failedAt = new WeakMap<Row, number>()
  private inFlight = 0
  private settle: ReturnType<typeof setTimeout> | undefined
  private readonly abort = new AbortController()

  constructor(private readonly o: HistoryOptions) {}

  /** Names the rows on the screen, replacing those named before. */
  show(rows: readonly Row[]): void {
    this.wanted = rows.filter((r) => this.needs(r))
    clearTimeout(this.settle)
    if (this.wanted.length > 0) this.settle = setTimeout(() => this.pump(), SETTLE_MS)
  }

  stop(): void {
    clearTimeout(this.settle)
    this.wanted = []
    this.abort.abort()
  }

  private needs(row: Row): boolean {
    if (row.history === 'failed') return Date.now() - (this.failedAt.get(row) ?? 0) >= RETRY_MS
    // A category has no sparkline.
    return row.history === 'none' && row.datastream.result !== 'OM_CategoryObservation'
  }

  private pump(): void {
    while (this.inFlight < MAX_IN_FLIGHT) {
      const row = this.wanted.shift()
      if (!row) return
      if (this.needs(row)) void this.load(row)
    }
  }

  private async load(row: Row): Promise<void> {
    this.inFlight++
    row.history = 'loading'
    try {
      const past = await this.o.fetch(row.datastream.id, this.abort.signal)
      this.o.loaded(row.datastream.id, past)
    } catch {
      row.history = 'failed'
      this.failedAt.set(row, Date.now())
    } finally {
      this.inFlight--
    }
    if (!this.abort.signal.aborted) this.pump()
  }
}
