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
}

export interface Welcome {
  type: 'welcome'
  server: string
  epoch: string
  time: string
  role: string
  heartbeatSeconds: number
}
export interface Subscribed {
  type: 'subscribed'
  id: string
  view: string
}
export interface Snapshot {
  type: 'snapshot'
  view: string
  last: boolean
  datastreams: Datastream[]
  observations: WireObservation[]
}
export interface Delta {
  type: 'delta'
  view: string
  datastreams: Datastream[]
  observations: WireObservation[]
}
export interface Heartbeat {
  type: 'heartbeat'
  time: string
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
export type ServerMessage = Welcome | Subscribed | Snapshot | Delta | Heartbeat | StreamError | Other

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
      return {
        type: 'welcome',
        server: str(m, 'server'),
        epoch: str(m, 'epoch'),
        time: str(m, 'time'),
        role: str(m, 'role'),
        heartbeatSeconds: typeof beat === 'number' && beat > 0 ? beat : 10,
      }
    }
    case 'subscribed':
      return m['view'] ? { type: 'subscribed', id: str(m, 'id'), view: str(m, 'view') } : undefined
    case 'snapshot':
      return { type: 'snapshot', view: str(m, 'view'), last: m['last'] === true, datastreams: datastreams(m), observations: observations(m) }
    case 'delta':
      return { type: 'delta', view: str(m, 'view'), datastreams: datastreams(m), observations: observations(m) }
    case 'heartbeat':
      return { type: 'heartbeat', time: str(m, 'time') }
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
