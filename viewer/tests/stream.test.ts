import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import type { StreamFilter } from '../src/api/protocol'
import { CONNECT_TIMEOUT_MS, PROBE_TIMEOUT_MS, StreamClient, streamUrl, type Socket, type StreamEvents, type StreamStatus } from '../src/api/stream'

class FakeSocket implements Socket {
  onopen: Socket['onopen'] = null
  onmessage: Socket['onmessage'] = null
  onclose: Socket['onclose'] = null
  onerror: Socket['onerror'] = null
  sent: Record<string, unknown>[] = []
  closed = false
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>)
  }
  close(): void {
    this.closed = true
  }
  say(m: object): void {
    this.onmessage?.({ data: JSON.stringify(m) })
  }
  end(code: number, reason = ''): void {
    this.onclose?.({ code, reason })
  }
  subscribes(): { id: string; filter: StreamFilter }[] {
    return this.sent.filter((m) => m['type'] === 'subscribe') as never
  }
}

const welcome = { type: 'welcome', heartbeatSeconds: 10, time: '2026-01-01T00:00:00Z' }

function setup(random = () => 1) {
  const sockets: FakeSocket[] = []
  const log: string[] = []
  const states: StreamStatus[] = []
  const events: StreamEvents = {
    status: (s) => void states.push(s),
    welcome: () => void log.push('welcome'),
    subscribed: (f) => void log.push(`subscribed ${JSON.stringify(f)}`),
    snapshot: (m) => void log.push(`snapshot ${m.view}`),
    resumed: (complete) => void log.push(`resumed ${complete}`),
    delta: (m) => void log.push(`delta ${m.view}`),
    changed: (m, f) => void log.push(`changed ${m.view} ${JSON.stringify(f)} ${m.left.join()}`),
    event: (m) => void log.push(`event ${m.kind}`),
    serverTime: (ms) => void log.push(`time ${ms}`),
    error: (e) => void log.push(`error ${e.field}`),
    closed: (code) => void log.push(`closed ${code}`),
  }
  const client = new StreamClient({
    url: 'ws://hub/stream',
    events,
    random,
    connect: () => {
      const s = new FakeSocket()
      sockets.push(s)
      return s
    },
  })
  return { client, sockets, log, states, state: () => states.at(-1)!, socket: () => sockets.at(-1)! }
}

function goLive(t: ReturnType<typeof setup>, view = 'v1'): void {
  t.socket().say(welcome)
  t.socket().say({ type: 'subscribed', id: t.socket().subscribes().at(-1)!.id, view })
  t.socket().say({ type: 'snapshot', view, last: true, datastreams: [], observations: [] })
}

describe('StreamClient', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('goes from connecting over loading to live', () => {
    const t = setup()
    t.client.start()
    expect(t.state()).toEqual({ state: 'connecting', attempt: 0 })
    t.socket().say(welcome)
    expect(t.state()).toEqual({ state: 'loading' })
    const id = t.socket().subscribes()[0]!.id
    t.socket().say({ type: 'subscribed', id, view: 'v1' })
    t.socket().say({ type: 'snapshot', view: 'v1', last: false })
    expect(t.state()).toEqual({ state: 'loading' })
    t.socket().say({ type: 'delta', view: 'v1', observations: [] })
    t.socket().say({ type: 'snapshot', view: 'v1', last: true })
    expect(t.state()).toEqual({ state: 'live' })
    expect(t.log).toEqual([`time ${Date.UTC(2026, 0, 1)}`, 'welcome', 'subscribed {}', 'snapshot v1', 'delta v1', 'snapshot v1'])
    t.client.stop()
    expect([t.state().state, t.socket().closed]).toEqual(['stopped', true])
  })

  test('a closed socket is a loss at once; it comes back with growing waits and the last filter', async () => {
    const t = setup()
    t.client.start()
    goLive(t)
    t.client.subscribe({ observedProperties: ['pm25'] })
    t.socket().say({ type: 'subscribed', id: t.socket().subscribes().at(-1)!.id, view: 'v2' })
    t.socket().end(1006)
    expect(t.state()).toMatchObject({ state: 'lost', reason: 'closed', code: 1006, attempt: 1, retryAtMs: Date.now() + 500 })
    await vi.advanceTimersByTimeAsync(499)
    expect(t.sockets.length).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(t.sockets.length).toBe(2)
    t.socket().end(1006)
    expect(t.state()).toMatchObject({ attempt: 2, retryAtMs: Date.now() + 1000 })
    await vi.advanceTimersByTimeAsync(1000)
    goLive(t, 'w1')
    expect(t.socket().subscribes()[0]!.filter).toEqual({ observedProperties: ['pm25'] })
    // It lived a while: the next loss starts with the shortest wait again.
    t.socket().say({ type: 'heartbeat' })
    await vi.advanceTimersByTimeAsync(20_000)
    t.socket().end(1001)
    expect(t.state()).toMatchObject({ attempt: 1 })
    t.client.stop()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(t.sockets.length).toBe(3)
  })

  test('a connection that dies again and again right after the welcome waits longer and longer', async () => {
    const t = setup()
    t.client.start()
    for (const wait of [500, 1000, 2000, 4000]) {
      goLive(t)
      t.socket().end(4100)
      expect(t.state()).toMatchObject({ state: 'lost', retryAtMs: Date.now() + wait })
      await vi.advanceTimersByTimeAsync(wait)
    }
    t.client.stop()
  })

  test('silence of 2.5 heartbeats is a loss; anything heard puts it off', async () => {
    const t = setup()
    t.client.start()
    goLive(t)
    await vi.advanceTimersByTimeAsync(20_000)
    t.socket().say({ type: 'delta', view: 'v1', observations: [] })
    await vi.advanceTimersByTimeAsync(24_999)
    expect(t.state().state).toBe('live')
    await vi.advanceTimersByTimeAsync(1)
    expect(t.state()).toMatchObject({ state: 'lost', reason: 'silent' })
    expect(t.sockets[0]!.closed).toBe(true)
    t.sockets[0]!.say({ type: 'delta', view: 'v1' }) // a dead socket is not listened to
    expect(t.log.filter((l) => l.startsWith('delta')).length).toBe(1)
    t.client.stop()
  })

  test('a probe without an answer is a loss within 3 s, with one it is not', async () => {
    const t = setup()
    t.client.start()
    goLive(t)
    await vi.advanceTimersByTimeAsync(1000)
    t.client.probe()
    t.client.probe()
    expect(t.socket().sent.filter((m) => m['type'] === 'ping').length).toBe(1)
    await vi.advanceTimersByTimeAsync(100)
    t.socket().say({ type: 'pong', t: 1 })
    await vi.advanceTimersByTimeAsync(PROBE_TIMEOUT_MS)
    expect(t.state().state).toBe('live')
    t.client.probe()
    await vi.advanceTimersByTimeAsync(PROBE_TIMEOUT_MS)
    expect(PROBE_TIMEOUT_MS).toBeLessThan(3000)
    expect(t.state()).toMatchObject({ state: 'lost', reason: 'silent' })
    t.client.stop()
  })

  test('a hub that never says welcome is given up', async () => {
    const t = setup()
    t.client.start()
    await vi.advanceTimersByTimeAsync(CONNECT_TIMEOUT_MS)
    expect(t.state()).toMatchObject({ state: 'lost', reason: 'timeout' })
    t.client.stop()
  })

  test.each([4000, 4001, 4003, 4009, 4013, 4099])('close code %d is final until the reader asks', async (code) => {
    const t = setup()
    t.client.start()
    goLive(t)
    t.socket().end(code, 'why')
    expect(t.state()).toEqual({ state: 'refused', code, reason: 'why' })
    await vi.advanceTimersByTimeAsync(120_000)
    expect(t.sockets.length).toBe(1)
    t.client.restart()
    expect(t.sockets.length).toBe(2)
    expect(t.state()).toEqual({ state: 'connecting', attempt: 0 })
    t.client.stop()
  })

  test.each([1000, 1001, 1006, 4100, 4101, 4102, 4103])('close code %d is worth another try', async (code) => {
    const t = setup()
    t.client.start()
    goLive(t)
    t.socket().end(code)
    await vi.advanceTimersByTimeAsync(500)
    expect(t.sockets.length).toBe(2)
    t.client.stop()
  })

  test('a new filter replaces the old view without a gap, and stale frames are dropped', () => {
    const t = setup()
    t.client.start()
    goLive(t)
    const first = t.socket().subscribes()[0]!.id
    t.client.subscribe({ observedProperties: ['o3'] })
    t.client.subscribe({ observedProperties: ['no2'] })
    const [, second, third] = t.socket().subscribes()
    t.socket().say({ type: 'delta', view: 'v1' })
    t.socket().say({ type: 'subscribed', id: second!.id, view: 'v2' })
    t.socket().say({ type: 'snapshot', view: 'v2', last: true })
    t.socket().say({ type: 'subscribed', id: third!.id, view: 'v3' })
    t.socket().say({ type: 'delta', view: 'v1' })
    t.socket().say({ type: 'snapshot', view: 'v3', last: true })
    expect(t.log.slice(4)).toEqual(['delta v1', 'subscribed {"observedProperties":["no2"]}', 'snapshot v3'])
    expect(t.socket().sent.filter((m) => m['type'] === 'unsubscribe').map((m) => m['id'])).toEqual([second!.id, first])
    const before = t.socket().sent.length
    t.client.subscribe({ observedProperties: ['no2'] }) // the same again asks nothing
    expect(t.socket().sent.length).toBe(before)
    t.client.stop()
  })

  test('a refused filter is told and leaves the old view running', () => {
    const t = setup()
    t.client.start()
    goLive(t)
    t.client.subscribe({ bbox: [1, 2, 3, 4] })
    t.socket().say({ type: 'error', id: t.socket().subscribes().at(-1)!.id, code: 'invalid', field: 'filter.bbox', message: 'no' })
    t.socket().say({ type: 'delta', view: 'v1' })
    expect(t.log.slice(-2)).toEqual(['error filter.bbox', 'delta v1'])
    expect(t.state().state).toBe('live')
    t.client.stop()
  })

  test('a refused first filter is said, not waited on', () => {
    const t = setup()
    t.client.start()
    t.socket().say(welcome)
    t.socket().say({ type: 'error', id: t.socket().subscribes()[0]!.id, code: 'forbidden', message: 'not for you', hint: 'sign in' })
    expect(t.state()).toEqual({ state: 'refused', code: 0, reason: 'not for you (sign in)' })
    t.client.stop()
  })

  test('frames that are no messages change nothing', () => {
    const t = setup()
    t.client.start()
    goLive(t)
    const before = t.log.length
    t.socket().onmessage?.({ data: new ArrayBuffer(4) })
    t.socket().onmessage?.({ data: '{"type":' })
    t.socket().say({ type: 'from-the-future' })
    expect([t.log.length, t.state().state]).toEqual([before, 'live'])
    t.client.stop()
  })
})

describe('StreamClient with a hub that resumes', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())
  const modern = { ...welcome, minIntervalMs: 50 }
  const at = (offset: number) => ({ epoch: 'e', offset })
  const last = (t: ReturnType<typeof setup>) => t.socket().sent.at(-1)!

  /** A client with view v1 at offset 3. */
  function begun() {
    const t = setup()
    t.client.start()
    t.socket().say(modern)
    t.socket().say({ type: 'subscribed', id: t.socket().subscribes()[0]!.id, view: 'v1' })
    t.socket().say({ type: 'snapshot', view: 'v1', last: true, position: at(3) })
    t.log.length = 0
    return t
  }

  test('after a loss it goes on behind the last message', async () => {
    const t = begun()
    expect(t.socket().subscribes()[0]).toMatchObject({ mode: 'every', filter: {} })
    t.socket().say({ type: 'delta', view: 'v1', position: at(5), observations: [] })
    t.socket().say({ type: 'heartbeat', position: at(9), time: '' })
    t.socket().end(4103)
    await vi.advanceTimersByTimeAsync(500)
    t.socket().say(modern)
    expect(last(t)).toMatchObject({ type: 'subscribe', after: at(9) })
    t.socket().say({ type: 'subscribed', id: last(t)['id'], view: 'v7', resumed: true })
    expect(t.state()).toEqual({ state: 'live' })
    t.socket().say({ type: 'delta', view: 'v7', position: at(10), observations: [] })
    expect(t.log.filter((l) => !l.startsWith('time'))).toEqual(['delta v1', 'closed 4103', 'welcome', 'resumed true', 'delta v7'])
    // The log no longer reaches back: a snapshot, as at the first time.
    t.socket().end(1006)
    await vi.advanceTimersByTimeAsync(1000)
    t.socket().say(modern)
    expect(last(t)).toMatchObject({ after: at(10) })
    t.socket().say({ type: 'subscribed', id: last(t)['id'], view: 'v1', resumed: false, reason: 'too old' })
    expect(t.log.at(-1)).toBe('subscribed {}')
    t.client.stop()
  })

  test('a snapshot that was cut is no place to resume at, nor is the view of another caller', async () => {
    const t = begun()
    t.socket().say({ type: 'snapshot', view: 'v1', last: false, position: at(6) })
    t.socket().end(1006)
    await vi.advanceTimersByTimeAsync(500)
    t.socket().say(modern)
    expect(last(t)).not.toHaveProperty('after')
    t.client.stop()
    const u = begun()
    u.client.restart()
    u.socket().say(modern)
    expect(last(u)).not.toHaveProperty('after')
    u.client.stop()
  })

  test('a refused position is given up, once', async () => {
    const t = begun()
    t.socket().end(1006)
    await vi.advanceTimersByTimeAsync(500)
    t.socket().say(modern)
    t.socket().say({ type: 'error', id: last(t)['id'], code: 'invalid', field: 'after', message: 'no' })
    expect(last(t)).not.toHaveProperty('after')
    t.socket().say({ type: 'error', id: last(t)['id'], code: 'forbidden', message: 'no' })
    expect(t.state()).toMatchObject({ state: 'refused' })
  })

  test('the map moves: one change at a time, the last one wanted counts', () => {
    const t = begun()
    const sent = () => t.socket().sent.filter((m) => m['type'] === 'update').map((m) => m['filter'])
    for (const west of [1, 2, 3]) t.client.subscribe({ bbox: [west, 0, 9, 1] })
    expect(sent()).toEqual([{ bbox: [1, 0, 9, 1] }])
    const { id } = t.socket().subscribes()[0]!
    t.socket().say({ type: 'delta', view: 'v1', position: at(4) })
    t.socket().say({ type: 'changed', id, view: 'v2', position: at(4), left: [7], last: false })
    t.socket().say({ type: 'changed', id, view: 'v2', position: at(4), last: true })
    t.socket().say({ type: 'delta', view: 'v1', position: at(5) }) // of the view that was left
    t.socket().say({ type: 'delta', view: 'v2', position: at(5) })
    expect(sent()[1]).toEqual({ bbox: [3, 0, 9, 1] })
    t.socket().say({ type: 'error', id, code: 'invalid', field: 'filter.bbox', message: 'no' })
    t.socket().say({ type: 'delta', view: 'v2', position: at(6) })
    expect(t.log).toEqual(['delta v1', 'changed v2 {"bbox":[1,0,9,1]} 7', 'changed v2 {"bbox":[1,0,9,1]} ', 'delta v2', 'error filter.bbox', 'delta v2'])
    expect(t.socket().subscribes().length).toBe(1)
    t.client.stop()
  })

  test('a change that the connection takes with it is made again on what is held', async () => {
    const t = begun()
    t.client.subscribe({ observedProperties: ['o3'] })
    t.socket().end(1006)
    await vi.advanceTimersByTimeAsync(500)
    t.socket().say(modern)
    expect(last(t)).toMatchObject({ type: 'subscribe', filter: {}, after: at(3) })
    t.socket().say({ type: 'subscribed', id: last(t)['id'], view: 'v1', resumed: true })
    expect(last(t)).toMatchObject({ type: 'update', filter: { observedProperties: ['o3'] } })
    t.client.stop()
  })

  test('the mode changes without a snapshot, and says when readings were left out', () => {
    const t = begun()
    t.client.setMode({ mode: 'latest', minIntervalMs: 5000 })
    expect(last(t)).toMatchObject({ type: 'subscribe', mode: 'latest', minIntervalMs: 5000, after: at(3) })
    t.socket().say({ type: 'subscribed', id: last(t)['id'], view: 'v2', resumed: true })
    expect(last(t)).toMatchObject({ type: 'unsubscribe', id: t.socket().subscribes()[0]!.id })
    t.socket().say({ type: 'heartbeat', position: at(50), time: '' }) // something may be held back
    t.client.setMode({ mode: 'every' })
    expect(last(t)).toMatchObject({ mode: 'every', after: at(3) })
    t.socket().say({ type: 'subscribed', id: last(t)['id'], view: 'v1', resumed: true })
    expect(t.log).toEqual(['resumed true', 'resumed false'])
    t.client.stop()
  })

  test('an older hub is asked for nothing that it does not know', () => {
    const t = setup()
    t.client.start()
    goLive(t)
    t.client.setMode({ mode: 'latest', minIntervalMs: 5000 })
    expect(t.socket().sent).toEqual([{ type: 'subscribe', id: 'live-1', filter: {} }])
    t.client.stop()
  })
})

test('over a real WebSocket: subprotocol, snapshot, loss and return', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  const protocols: string[] = []
  server.on('connection', (ws) => {
    protocols.push(ws.protocol)
    ws.send(JSON.stringify(welcome))
    ws.on('message', (raw) => {
      const m = JSON.parse(String(raw)) as { type: string; id: string }
      if (m.type !== 'subscribe') return
      ws.send(JSON.stringify({ type: 'subscribed', id: m.id, view: 'v1' }))
      ws.send(JSON.stringify({ type: 'snapshot', view: 'v1', last: true, datastreams: [], observations: [] }))
    })
  })
  await new Promise((ok) => server.once('listening', ok))
  const { port } = server.address() as { port: number }
  const states: string[] = []
  const nothing = () => undefined
  const client = new StreamClient({
    url: streamUrl({ protocol: 'http:', host: `127.0.0.1:${port}` }),
    connect: (url, protocol) => new WebSocket(url, protocol) as unknown as Socket,
    random: () => 0,
    events: { status: (s) => void states.push(s.state), welcome: nothing, subscribed: nothing, resumed: nothing, changed: nothing, event: nothing, snapshot: nothing, delta: nothing, serverTime: nothing, error: nothing, closed: nothing },
  })
  client.start()
  await vi.waitFor(() => expect(states.at(-1)).toBe('live'), 5000)
  for (const ws of server.clients) ws.terminate()
  await vi.waitFor(() => expect(states).toContain('lost'), 3000)
  await vi.waitFor(() => expect(states.at(-1)).toBe('live'), 5000)
  expect(protocols).toEqual(['cityhub.v1.json', 'cityhub.v1.json'])
  client.stop()
  for (const ws of server.clients) ws.terminate()
  await new Promise((ok) => server.close(ok))
  expect(streamUrl({ protocol: 'https:', host: 'hub.example' })).toBe('wss://hub.example/stream')
})
