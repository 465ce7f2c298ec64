import type { Result } from '../model/datastream'
import { requestJson, type Fetch } from './rest'

/** A stored observation: phenomenon time in ms since 1970 UTC, and result. */
export interface PastObservation {
  timeMs: number
  result: Result
}

/** The last observations of a Datastream from SensorThings, newest first. */
export async function lastObservations(fetcher: Fetch, datastream: number, top: number, signal?: AbortSignal): Promise<PastObservation[]> {
  const path = `/sta/v1.1/Datastreams(${datastream})/Observations?$top=${top}&$orderby=phenomenonTime%20desc&$select=phenomenonTime,result`
  const page = await requestJson(fetcher, 'GET', path, undefined, signal)
  const list = typeof page === 'object' && page !== null ? (page as Record<string, unknown>)['value'] : undefined
  if (!Array.isArray(list)) return []
  const out: PastObservation[] = []
  for (const o of list as unknown[]) {
    if (typeof o !== 'object' || o === null) continue
    const { phenomenonTime, result } = o as Record<string, unknown>
    if (typeof phenomenonTime !== 'string') continue
    const timeMs = parseTimeMs(phenomenonTime.split('/')[0]!) // an interval counts from its start
    if (Number.isNaN(timeMs)) continue
    if (typeof result === 'number' || typeof result === 'string' || typeof result === 'boolean') out.push({ timeMs, result })
  }
  return out
}

/**
 * An RFC 3339 time as ms since 1970 UTC with its fraction, which Date cuts off:
 * the same instant on the stream must give the same number. NaN for no time.
 */
export function parseTimeMs(s: string): number {
  const ms = Date.parse(s)
  const finer = /\.\d{3}(\d+)/.exec(s)
  return finer && ms > 0 ? Number(`${ms}.${finer[1]}`) : ms
}
