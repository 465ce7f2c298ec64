import { describe, expect, test } from 'vitest'
import { backoffMs, BACKOFF_MAX_MS } from '../src/api/backoff'
import { lastObservations, parseTimeMs } from '../src/api/observations'
import { readMessage } from '../src/api/protocol'
import { ApiError, requestJson, type Fetch } from '../src/api/rest'
import { signIn, takeToken, whoAmI } from '../src/api/session'

const answer = (status: number, body: string): Fetch & { calls: [string, RequestInit | undefined][] } => {
  const calls: [string, RequestInit | undefined][] = []
  const f = (url: string, init?: RequestInit) => {
    calls.push([url, init])
    return Promise.resolve(new Response(status === 204 ? null : body, { status }))
  }
  return Object.assign(f, { calls })
}

describe('messages', () => {
  test.each(['', 'null', '[]', '"x"', '{', '{"type":"later-type"}', '{"type":"subscribed","id":"a"}'])('%s is none', (text) => {
    expect(readMessage(text)).toBeUndefined()
  })
  test('a snapshot keeps what is well formed', () => {
    const m = readMessage(
      JSON.stringify({
        type: 'snapshot',
        view: 'v1',
        last: true,
        datastreams: [{ id: 1, terminal: 'a', lon: 120.6, lat: 31.3, simulated: true }, { id: 2 }, null, { id: 3, terminal: 'c', lon: 400, lat: 31 }],
        observations: [[1, 1790000000000, 12.5, 2], [1, 'x', 1, 1], 'no', [3, 5, 'rain', 1], [3, 6, null, 1], [1, 7, true, 1]],
      }),
    )
    if (m?.type !== 'snapshot') throw new Error('no snapshot')
    expect(m.datastreams.map((d) => [d.id, d.lon, d.simulated, d.unit])).toEqual([
      [1, 120.6, true, ''],
      [3, null, false, ''],
    ])
    expect(m.observations).toEqual([
      [1, 1790000000000, 12.5, 2],
      [3, 5, 'rain', 1],
      [1, 7, true, 1],
    ])
  })
  test('a delta may describe new datastreams, or not', () => {
    expect(readMessage('{"type":"delta","view":"v1","observations":[[1,2,3,1]]}')).toEqual({ type: 'delta', view: 'v1', position: undefined, datastreams: [], observations: [[1, 2, 3, 1]], left: [] })
  })
  test('a welcome without a usable heartbeat gets the usual one', () => {
    expect(readMessage('{"type":"welcome","heartbeatSeconds":-1}')).toMatchObject({ heartbeatSeconds: 10 })
  })
})

test('backoff doubles to its limit and is spread by a half', () => {
  expect([1, 2, 3, 7, 60].map((n) => backoffMs(n, () => 1))).toEqual([500, 1000, 2000, BACKOFF_MAX_MS, BACKOFF_MAX_MS])
  expect(backoffMs(3, () => 0)).toBe(1000)
})

describe('REST', () => {
  test('an error carries what the hub says', async () => {
    const f = answer(422, '{"title":"Invalid","detail":"bbox: west is not a number","hint":"west,south,east,north"}')
    const e = await requestJson(f, 'GET', '/x').catch((e: unknown) => e)
    expect(e).toBeInstanceOf(ApiError)
    expect(e).toMatchObject({ status: 422, message: 'bbox: west is not a number', hint: 'west,south,east,north' })
  })
  test('an error without a body and an answer that is no JSON', async () => {
    await expect(requestJson(answer(502, '<html>'), 'GET', '/x')).rejects.toMatchObject({ status: 502, message: 'HTTP 502' })
    await expect(requestJson(answer(200, '<html>'), 'GET', '/x')).rejects.toBeInstanceOf(ApiError)
    expect(await requestJson(answer(204, ''), 'DELETE', '/x')).toBeUndefined()
  })
})

describe('session', () => {
  const bar = (hash: string) => {
    const urls: string[] = []
    return { urls, token: takeToken({ hash, pathname: '/', search: '?a=1' }, { replaceState: (_d, _t, url) => void urls.push(url) }) }
  }
  test('the token leaves the address bar at once', () => {
    expect(bar('#token=ab%2Bc')).toEqual({ urls: ['/?a=1'], token: 'ab+c' })
    expect(bar('#view=map&token=t')).toEqual({ urls: ['/?a=1#view=map'], token: 't' })
    expect(bar('#token=')).toEqual({ urls: ['/?a=1'], token: undefined })
    expect(bar('#view=map')).toEqual({ urls: [], token: undefined })
    expect(bar('')).toEqual({ urls: [], token: undefined })
  })
  test('it goes to the hub in the body, never in an address', async () => {
    const f = answer(200, '{"name":"op","role":"admin"}')
    await signIn(f, 'secret')
    expect(f.calls[0]![0]).toBe('/api/v1/session')
    expect(f.calls[0]![1]).toMatchObject({ method: 'POST', body: '{"token":"secret"}', credentials: 'same-origin' })
    await expect(signIn(answer(401, '{}'), 'wrong')).rejects.toMatchObject({ status: 401 })
  })
  test('whoever the hub does not name is the public', async () => {
    expect(await whoAmI(answer(200, '{"name":"op","role":"admin"}'))).toEqual({ name: 'op', role: 'admin' })
    expect(await whoAmI(answer(200, '{}'))).toEqual({ name: '', role: 'public' })
    expect(await whoAmI(answer(204, ''))).toEqual({ name: '', role: 'public' })
  })
})

describe('stored observations', () => {
  test('are asked for as SensorThings says', async () => {
    const f = answer(200, '{"value":[{"phenomenonTime":"2026-01-01T00:00:01Z","result":2},{"phenomenonTime":"2026-01-01T00:00:00Z/2026-01-01T01:00:00Z","result":"a"},{"result":1},{"phenomenonTime":"soon","result":1},{"phenomenonTime":"2026-01-01T00:00:00Z","result":null},7]}')
    const t = Date.UTC(2026, 0, 1)
    expect(await lastObservations(f, 12, 60)).toEqual([
      { timeMs: t + 1000, result: 2 },
      { timeMs: t, result: 'a' },
    ])
    expect(f.calls[0]![0]).toBe('/sta/v1.1/Datastreams(12)/Observations?$top=60&$orderby=phenomenonTime%20desc&$select=phenomenonTime,result')
    expect(await lastObservations(answer(200, '{}'), 1, 1)).toEqual([])
  })
  test('a time finer than a millisecond is the same number as on the stream', () => {
    expect(parseTimeMs('2026-09-21T14:13:20.123456789Z')).toBe(JSON.parse(`${Date.UTC(2026, 8, 21, 14, 13, 20, 123)}.456789`))
    expect(parseTimeMs('2026-09-21T22:13:20+08:00')).toBe(Date.UTC(2026, 8, 21, 14, 13, 20))
    expect(parseTimeMs('no')).toBeNaN()
  })
})
