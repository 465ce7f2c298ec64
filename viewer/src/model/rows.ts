import { decimalsOf } from './format'
import { propertyTitle, terminalName, type Datastream, type Language, type Result } from './datastream'
import { contains, type BBox } from './mercator'
import { Ring } from './ring'

/** Where the stored past of a Datastream stands in this page. */
export type HistoryState = 'none' | 'loading' | 'loaded' | 'failed'

/** One Datastream and what is known of its readings. Rows are plain and change in place; `version` tells. */
export interface Row {
  datastream: Datastream
  /** Phenomenon time of the latest reading, ms since 1970 UTC; NaN before the first. */
  timeMs: number
  result: Result | undefined
  quality: number
  /** The most decimals a reading has had, 3 at most. */
  decimals: number
  ring: Ring
  /** Grows with every change of the row. */
  version: number
  history: HistoryState
  /** Lower-case text that a search looks through. */
  haystack: string
}

export function newRow(d: Datastream): Row {
  return { datastream: d, timeMs: NaN, result: undefined, quality: 2, decimals: 0, ring: new Ring(), version: 0, history: 'none', haystack: haystackOf(d) }
}

export function haystackOf(d: Datastream): string {
  return [d.terminal, d.name, d.nameEn, d.property, d.title, d.titleEn, d.dataset].join('\n').toLowerCase()
}

/** A result as a number for the sparkline; NaN for a category. */
export function plotValue(r: Result): number {
  return typeof r === 'number' ? r : typeof r === 'boolean' ? (r ? 1 : 0) : NaN
}

/** Takes a value into the sparkline; false when its time is already there or too old. */
export function plot(row: Row, timeMs: number, v: number): boolean {
  if (!row.ring.insert(timeMs, v)) return false
  if (row.decimals < 3) row.decimals = Math.max(row.decimals, decimalsOf(v))
  return true
}

/**
 * Takes an observation into a row. The newer, or for the same instant the
 * later received, wins; an older one only joins the sparkline. False when
 * nothing changed.
 */
export function takeObservation(row: Row, timeMs: number, result: Result, quality: number): boolean {
  const v = plotValue(result)
  const plotted = Number.isNaN(v) ? false : plot(row, timeMs, v)
  if (timeMs < row.timeMs) {
    if (plotted) row.version++
    return plotted
  }
  row.timeMs = timeMs
  row.result = result
  row.quality = quality
  row.version++
  return true
}

/** What the reader has asked to see. Absent members do not restrict. */
export interface Filter {
  properties: ReadonlySet<string>
  text: string
  terminal: string | undefined
  bbox: BBox | undefined
}

/** Whether the part of the filter that the hub applies too lets a Datastream through. */
export function matchesSubscription(d: Datastream, properties: ReadonlySet<string>, bbox: BBox | undefined): boolean {
  if (properties.size > 0 && !properties.has(d.property)) return false
  return inBox(d, bbox)
}

/** Whether a Datastream lies in a box; one without a Location is in none. */
export function inBox(d: Datastream, bbox: BBox | undefined): boolean {
  if (!bbox) return true
  return d.lon !== null && d.lat !== null && contains(bbox, d.lon, d.lat)
}

/** Whether a row matches a whole filter; every word of the text must be found. */
export function matches(row: Row, f: Filter, words: readonly string[]): boolean {
  if (f.terminal !== undefined && row.datastream.terminal !== f.terminal) return false
  if (!matchesSubscription(row.datastream, f.properties, f.bbox)) return false
  return words.every((w) => row.haystack.includes(w))
}

/** The words of a search text, lower case. */
export function searchWords(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter((w) => w !== '')
}

export type SortKey = 'name' | 'property' | 'age'
export interface Sort {
  key: SortKey
  descending: boolean
}

const collators = new Map<Language, Intl.Collator>()

function collator(language: Language): Intl.Collator {
  let c = collators.get(language)
  if (!c) {
    c = new Intl.Collator(language, { numeric: true })
    collators.set(language, c)
  }
  return c
}

/**
 * Sorts rows in place: by name, by property, or by age, youngest first; ties by
 * name, then property, then id, so that an order is stable while readings
 * arrive. Rows that never had a reading come last in either direction of age.
 */
export function sortRows(rows: Row[], sort: Sort, language: Language): Row[] {
  const compare = collator(language).compare
  const sign = sort.descending ? -1 : 1
  const names = (a: Row, b: Row) =>
    compare(terminalName(a.datastream, language), terminalName(b.datastream, language)) || compare(a.datastream.terminal, b.datastream.terminal)
  const properties = (a: Row, b: Row) => compare(propertyTitle(a.datastream, language), propertyTitle(b.datastream, language))
  const ids = (a: Row, b: Row) => a.datastream.id - b.datastream.id
  switch (sort.key) {
    case 'name':
      return rows.sort((a, b) => sign * names(a, b) || properties(a, b) || ids(a, b))
    case 'property':
      return rows.sort((a, b) => sign * properties(a, b) || names(a, b) || ids(a, b))
    case 'age':
      return rows.sort((a, b) => {
        const none = Number(Number.isNaN(a.timeMs)) - Number(Number.isNaN(b.timeMs))
        return none || (Number.isNaN(a.timeMs) ? 0 : sign * (b.timeMs - a.timeMs)) || names(a, b) || properties(a, b) || ids(a, b)
      })
  }
}

/** A Thing with a code, put together from its Datastreams. */
export interface Terminal {
  code: string
  name: string
  nameEn: string
  domain: string
  lon: number | null
  lat: number | null
  simulated: boolean
  dataset: string
  rows: Row[]
}

/** The terminals of rows, in order of first appearance. */
export function terminalsOf(rows: Iterable<Row>): Map<string, Terminal> {
  const all = new Map<string, Terminal>()
  for (const row of rows) {
    const d = row.datastream
    const t = all.get(d.terminal)
    if (t) {
      t.rows.push(row)
      t.simulated ||= d.simulated
    } else {
      all.set(d.terminal, {
        code: d.terminal,
        name: d.name,
        nameEn: d.nameEn,
        domain: d.domain,
        lon: d.lon,
        lat: d.lat,
        simulated: d.simulated,
        dataset: d.dataset,
        rows: [row],
      })
    }
  }
  return all
}

/** An observed property with how many Datastreams have it. */
export interface PropertyCount {
  property: string
  title: string
  titleEn: string
  count: number
}

/** Observed properties of the rows in a box, most frequent first. */
export function countProperties(rows: Iterable<Row>, bbox: BBox | undefined): PropertyCount[] {
  const all = new Map<string, PropertyCount>()
  for (const { datastream: d } of rows) {
    if (!inBox(d, bbox)) continue
    const p = all.get(d.property)
    if (p) p.count++
    else all.set(d.property, { property: d.property, title: d.title, titleEn: d.titleEn, count: 1 })
  }
  return [...all.values()].sort((a, b) => b.count - a.count || (a.property < b.property ? -1 : 1))
}
