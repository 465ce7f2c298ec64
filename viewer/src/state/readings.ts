import type { WireObservation, Datastream } from '../model/datastream'
import type { BBox } from '../model/mercator'
import { haystackOf, matchesSubscription, newRow, plot, plotValue, takeObservation, type Row } from '../model/rows'

/** What happened since the last notice. */
export interface Changes {
  /** Rows came, went or changed their description: lists must be made anew. */
  structure: boolean
  /** Rows with new readings. Valid during the call only. */
  rows: ReadonlySet<Row>
}

/** The part of a filter that the hub applies. */
export interface Scope {
  properties: ReadonlySet<string>
  bbox: BBox | undefined
}

const EVERYTHING: Scope = { properties: new Set(), bbox: undefined }

/** Readings that came before their Datastream was described are kept for it, up to this many. */
export const MAX_EARLY = 50_000

/**
 * Every Datastream this page has heard of, with its readings. Messages are
 * applied as they come; listeners are told at most once per animation frame,
 * however many readings there were, so that a flood costs the page one
 * rendering of what is visible. Not reactive by itself and free of the
 * browser: the scheduler is handed in.
 */
export class ReadingsStore {
  readonly rows = new Map<number, Row>()
  /** Readings applied since the page was opened. */
  received = 0

  private scope: Scope = EVERYTHING
  private seen: Set<number> | undefined
  private unsure: Set<number> | undefined
  private early = new Map<number, WireObservation>()
  private dirty = new Set<Row>()
  private structure = false
  private scheduled = false
  private listeners = new Set<(c: Changes) => void>()

  constructor(private readonly schedule: (flush: () => void) => void) {}

  /** Calls back after changes, once per frame; returns how to stop it. */
  onChange(listener: (c: Changes) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** A new view begins: its snapshot tells which rows within the scope exist. */
  begin(scope: Scope): void {
    // What was out of scope has missed readings, and so has everything after a
    // broken connection: the stored past fills the gaps.
    for (const row of this.rows.values()) if (row.history !== 'loading') row.history = 'none'
    this.scope = scope
    this.unsure = undefined
    this.seen = new Set()
    this.early.clear()
  }

  /** One part of a snapshot. With the last one, rows of the scope that it did not name are gone. */
  snapshot(datastreams: readonly Datastream[], observations: readonly WireObservation[], last: boolean): void {
    this.describe(datastreams)
    this.apply(observations)
    if (!last || !this.seen) return
    for (const row of this.rows.values()) {
      const d = row.datastream
      if (!this.seen.has(d.id) && matchesSubscription(d, this.scope.properties, this.scope.bbox)) {
        this.rows.delete(d.id)
        this.dirty.delete(row)
        this.structure = true
      }
    }
    this.seen = undefined
    this.early.clear()
    this.wake()
  }

  delta(datastreams: readonly Datastream[], observations: readonly WireObservation[], left: readonly number[] = []): void {
    this.describe(datastreams)
    this.apply(observations)
    this.remove(left)
  }

  /** The view goes on, but readings were left out of it: the stored past fills the gaps. */
  missed(): void {
    for (const row of this.rows.values()) if (row.history !== 'loading') row.history = 'none'
    this.structure = true
    this.wake()
  }

  /**
   * One part of the difference from the scope held to another. Rows that are
   * new in the scope have missed readings; one that the difference does not
   * name is gone. Rows out of the new scope stay, as old as they are.
   */
  change(scope: Scope, left: readonly number[], datastreams: readonly Datastream[], observations: readonly WireObservation[], last: boolean): void {
    if (!this.unsure) {
      this.unsure = new Set()
      for (const row of this.rows.values()) {
        const d = row.datastream
        if (!matchesSubscription(d, scope.properties, scope.bbox) || matchesSubscription(d, this.scope.properties, this.scope.bbox)) continue
        this.unsure.add(d.id)
        if (row.history !== 'loading') row.history = 'none'
      }
      this.scope = scope
    }
    this.describe(datastreams)
    for (const d of datastreams) this.unsure.delete(d.id)
    this.apply(observations)
    this.remove(left.filter((id) => this.inScope(id)))
    if (!last) return
    this.remove([...this.unsure])
    this.unsure = undefined
  }

  private inScope(id: number): boolean {
    const d = this.rows.get(id)?.datastream
    return d !== undefined && matchesSubscription(d, this.scope.properties, this.scope.bbox)
  }

  private remove(ids: readonly number[]): void {
    for (const id of ids) {
      const row = this.rows.get(id)
      if (!row) continue
      this.rows.delete(id)
      this.dirty.delete(row)
      this.structure = true
      this.wake()
    }
  }

  /** Joins stored observations, newest first, to a row's sparkline. The latest reading stays the stream's. */
  history(id: number, past: readonly { timeMs: number; result: WireObservation[2] }[]): void {
    const row = this.rows.get(id)
    if (!row) return
    row.history = 'loaded'
    // Newest first: once the ring is full, the rest is older than all it holds.
    for (const p of past) {
      const v = plotValue(p.result)
      if (!Number.isNaN(v) && !plot(row, p.timeMs, v)) break
    }
    row.version++
    this.dirty.add(row)
    this.wake()
  }

  /** Forgets everything: another caller may see something else. */
  clear(): void {
    this.rows.clear()
    this.dirty.clear()
    this.early.clear()
    this.seen = undefined
    this.structure = true
    this.wake()
  }

  private describe(datastreams: readonly Datastream[]): void {
    for (const d of datastreams) {
      this.seen?.add(d.id)
      const row = this.rows.get(d.id)
      if (!row) {
        this.rows.set(d.id, newRow(d))
        this.structure = true
        const o = this.early.get(d.id)
        if (o) {
          this.early.delete(d.id)
          this.apply([o])
        }
      } else if (!sameDescription(row.datastream, d)) {
        row.datastream = d
        row.haystack = haystackOf(d)
        row.version++
        this.structure = true
      }
    }
    if (datastreams.length > 0) this.wake()
  }

  private apply(observations: readonly WireObservation[]): void {
    for (const o of observations) {
      const row = this.rows.get(o[0])
      if (!row) {
        // A delta may overtake the part of a snapshot that describes its
        // Datastream. Beyond the bound the snapshot's own value stands until
        // the next reading.
        const held = this.early.get(o[0])
        if (held ? o[1] >= held[1] : this.early.size < MAX_EARLY) this.early.set(o[0], o)
        continue
      }
      this.received++
      if (takeObservation(row, o[1], o[2], o[3])) this.dirty.add(row)
    }
    if (this.dirty.size > 0) this.wake()
  }

  private wake(): void {
    if (this.scheduled) return
    this.scheduled = true
    this.schedule(() => this.flush())
  }

  private flush(): void {
    this.scheduled = false
    const changes: Changes = { structure: this.structure, rows: this.dirty }
    this.structure = false
    this.dirty = new Set()
    for (const l of this.listeners) l(changes)
  }
}

function sameDescription(a: Datastream, b: Datastream): boolean {
  return (Object.keys(a) as (keyof Datastream)[]).every((k) => a[k] === b[k])
}
