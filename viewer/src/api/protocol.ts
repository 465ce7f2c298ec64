// The stream envelope, version 1 (subprotocol cityhub.v1.json): the messages,
// and a reader that lets nothing malformed into the page.

import type { Datastream, WireObservation } from '../model/datastream'
import type { BBox } from '../model/mercator'

export const SUBPROTOCOL = 'cityhub.v1.json'

/** Place in the hub's log. */
export interface Position {
  epoch: string
  offset: number
}

/** What a subscription asks for; members are combined with AND, an empty filter is everything the caller may see. */
export interface StreamFilter {
  observedProperties?: string[]
  datastreams?: number[]
  bbox?: BBox
  /** GeoJSON Polygon or MultiPolygon, WGS 84, longitude first. */
  polygon?: { type: 'Polygon'; coordinates: number[][][] } | { type: 'MultiPolygon'; coordinates: number[][][][] }
  /** CityObjects by key, DATASET/ID, with their parts unless `parts` is false. */
  objects?: string[]
  parts?: boolean
  districts?: string[]
  domains?: string[]
  /** CQL2 as text or JSON. */
  cql?: string | object
}

/** Each reading, or of each Datastream the latest one at most every so many ms (50 to 60,000). */
export type StreamMode = { mode: 'every' } | { mode: 'latest'; minIntervalMs: number }

export interface Welcome {
  type: 'welcome'
  server: string
  epoch: string
  time: string
  role: string
  heartbeatSeconds: number
  /** Shortest interval of the mode latest; undefined: the hub knows neither modes nor resuming nor update. */
  minIntervalMs: number | undefined
}
export interface Subscribed {
  type: 'subscribed'
  id: string
  view: string
  /** The subscription goes on after the position it named; no snapshot follows. */
  resumed: boolean
  reason: string
}
export interface Snapshot {
  type: 'snapshot'
  view: string
  position: Position | undefined
  last: boolean
  datastreams: Datastream[]
  observations: WireObservation[]
}
export interface Delta {
  type: 'delta'
  view: string
  position: Position | undefined
  datastreams: Datastream[]
  observations: WireObservation[]
  /** Datastreams that no longer fit the filter. */
  left: number[]
}
/** The difference that an update makes. */
export interface Changed {
  type: 'changed'
  id: string
  view: string
  position: Position | undefined
  last: boolean
  left: number[]
  datastreams: Datastream[]
  observations: WireObservation[]
}
export interface Heartbeat {
  type: 'heartbeat'
  position: Position | undefined
  time: string
}
/** Something that happened beside readings; `members` is the whole message. */
export interface CityEvent {
  type: 'event'
  id: string
  kind: string
  time: string
  members: Readonly<Record<string, unknown>>
}
export interface StreamError {
  type: 'error'
  id: string
  code: string
  field: string
  message: string
  hint: string
}
export interface Other {
  type: 'pong' | 'unsubscribed'
}
export type ServerMessage = Welcome | Subscribed | Snapshot | Delta | Changed | Heartbeat | CityEvent | StreamError | Other

type Fields = Record<string, unknown>

/**
 * Reads one frame. Undefined when it is no message of this protocol: not JSON,
 * an unknown type (a newer hub's) or without the members the type needs.
 * Datastreams and observations that are malformed are left out one by one.
 */
export function readMessage(text: string): ServerMessage | undefined {
  let m: unknown
  try {
    m = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(m)) return undefined
  switch (m['type']) {
    case 'welcome': {
      const beat = m['heartbeatSeconds']
      const interval = m['minIntervalMs']
      return {
        type: 'welcome',
        server: str(m, 'server'),
        epoch: str(m, 'epoch'),
        time: str(m, 'time'),
        role: str(m, 'role'),
        heartbeatSeconds: typeof beat === 'number' && beat > 0 ? beat : 10,
        minIntervalMs: typeof interval === 'number' ? interval : undefined,
      }
    }
    case 'subscribed':
      return m['view'] ? { type: 'subscribed', id: str(m, 'id'), view: str(m, 'view'), resumed: m['resumed'] === true, reason: str(m, 'reason') } : undefined
    case 'snapshot':
      return { type: 'snapshot', view: str(m, 'view'), position: position(m), last: m['last'] === true, datastreams: datastreams(m), observations: observations(m) }
    case 'delta':
      return { type: 'delta', view: str(m, 'view'), position: position(m), datastreams: datastreams(m), observations: observations(m), left: left(m) }
    case 'changed':
      return {
        type: 'changed',
        id: str(m, 'id'),
        view: str(m, 'view'),
        position: position(m),
        last: m['last'] === true,
        left: left(m),
        datastreams: datastreams(m),
        observations: observations(m),
      }
    case 'heartbeat':
      return { type: 'heartbeat', position: position(m), time: str(m, 'time') }
    case 'event':
      return { type: 'event', id: str(m, 'id'), kind: str(m, 'kind'), time: str(m, 'time'), members: m }
    case 'error':
      return { type: 'error', id: str(m, 'id'), code: str(m, 'code'), field: str(m, 'field'), message: str(m, 'message'), hint: str(m, 'hint') }
    case 'pong':
    case 'unsubscribed':
      return { type: m['type'] }
    default:
      return undefined
  }
}

function isObject(v: unknown): v is Fields {
  return typeof v === 'object' && v !== null && !Array.isArray(v)
}

function str(m: Fields, key: string): string {
  const v = m[key]
  return typeof v === 'string' ? v : ''
}

function position(m: Fields): Position | undefined {
  const p = m['position']
  if (!isObject(p) || typeof p['epoch'] !== 'string' || typeof p['offset'] !== 'number') return undefined
  return { epoch: p['epoch'], offset: p['offset'] }
}

function left(m: Fields): number[] {
  const list = m['left']
  return Array.isArray(list) ? (list as unknown[]).filter((id) => typeof id === 'number') : []
}

function degrees(v: unknown, limit: number): number | null {
  return typeof v === 'number' && Number.isFinite(v) && Math.abs(v) <= limit ? v : null
}

function datastreams(m: Fields): Datastream[] {
  const list = m['datastreams']
  if (!Array.isArray(list)) return []
  const out: Datastream[] = []
  for (const d of list as unknown[]) {
    if (!isObject(d) || typeof d['id'] !== 'number' || typeof d['terminal'] !== 'string') continue
    const lon = degrees(d['lon'], 180)
    const lat = degrees(d['lat'], 90)
    const placed = lon !== null && lat !== null
    out.push({
      id: d['id'],
      terminal: d['terminal'],
      name: str(d, 'name'),
      nameEn: str(d, 'nameEn'),
      property: str(d, 'property'),
      title: str(d, 'title'),
      titleEn: str(d, 'titleEn'),
      unit: str(d, 'unit'),
      ucum: str(d, 'ucum'),
      result: str(d, 'result'),
      domain: str(d, 'domain'),
      lon: placed ? lon : null,
      lat: placed ? lat : null,
      dataset: str(d, 'dataset'),
      simulated: d['simulated'] === true,
    })
  }
  return out
}

function observations(m: Fields): WireObservation[] {
  const list = m['observations']
  if (!Array.isArray(list)) return []
  // The common case is that all are well formed: check first, copy only when one is not.
  return (list as unknown[]).every(isObservation) ? (list as WireObservation[]) : (list as unknown[]).filter(isObservation)
}

function isObservation(o: unknown): o is WireObservation {
  if (!Array.isArray(o) || typeof o[0] !== 'number' || typeof o[1] !== 'number') return false
  const t = typeof o[2]
  return (t === 'number' || t === 'string' || t === 'boolean') && typeof o[3] === 'number'
}
