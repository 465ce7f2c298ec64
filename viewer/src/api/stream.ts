import { backoffMs } from './backoff'
import { readMessage, SUBPROTOCOL, type Changed, type CityEvent, type Delta, type Position, type Snapshot, type StreamError, type StreamFilter, type StreamMode, type Welcome } from './protocol'

/** Why a connection was given up. */
export type LossReason = 'closed' | 'silent' | 'timeout'

/** Where the stream stands. The page says each of these in words. */
export type StreamStatus =
  | { state: 'stopped' }
  | { state: 'connecting'; attempt: number }
  | { state: 'loading' }
  | { state: 'live' }
  | { state: 'lost'; reason: LossReason; code: number; sinceMs: number; attempt: number; retryAtMs: number }
  | { state: 'refused'; code: number; reason: string }

/** The part of WebSocket that the client uses. */
export interface Socket {
  onopen: (() => void) | null
  onmessage: ((e: { data: unknown }) => void) | null
  onclose: ((e: { code: number; reason: string }) => void) | null
  onerror: (() => void) | null
  send(text: string): void
  close(code?: number): void
}

/** What the client tells its owner. Calls come from socket events and timers, never from inside subscribe. */
export interface StreamEvents {
  status(s: StreamStatus): void
  welcome(w: Welcome): void
  /** A new view begins; everything after it belongs to the filter given. Its snapshot follows. */
  subscribed(filter: StreamFilter): void
  /**
   * The view goes on where it was, without a snapshot. `complete` says that it
   * lacks no reading; without it some were left out by the mode latest.
   */
  resumed(complete: boolean): void
  snapshot(m: Snapshot): void
  delta(m: Delta): void
  /** One part of the difference to the filter given, after an update. */
  changed(m: Changed, filter: StreamFilter): void
  /** Something happened in the city beside readings. */
  event(m: CityEvent): void
  /** The hub's clock, ms since 1970 UTC. */
  serverTime(ms: number): void
  /** A subscription failed; the connection lives on. */
  error(e: StreamError): void
  /** The connection ended with this close code. */
  closed(code: number): void
}

export interface StreamOptions {
  url: string
  events: StreamEvents
  connect?: (url: string, protocol: string) => Socket
  random?: () => number
}

/** A connection that has not said welcome after this long is given up, in ms. */
export const CONNECT_TIMEOUT_MS = 10_000
/** Silence of this many heartbeat intervals means that the connection is lost. */
export const SILENT_HEARTBEATS = 2.5
/** An answer to a probe must come within this, in ms. */
export const PROBE_TIMEOUT_MS = 2_500
interface Subscription {
  id: string
  filter: StreamFilter
  mode: StreamMode
}

/** What the page holds: a view that is complete up to a position, so that it can be resumed there. */
interface Held {
  filter: StreamFilter
  mode: StreamMode
  position: Position
}

const EVERY: StreamMode = { mode: 'every' }

/** A connection that lived this long was good: the next loss starts with a short wait again. */
const STABLE_MS = 10_000

/**
 * One WebSocket to the hub with one subscription, kept alive: it reconnects
 * with backoff and jitter and goes on after the last message it handled, or
 * begins with a snapshot where the hub cannot. A close code in 4000–4099 says
 * that the same request would fail again, so it stops. The filter is changed in
 * place, one change at a time: while the hub has not answered, the last one
 * wanted waits, so that a camera that moves does not flood it.
 *
 * A loss is told at once when the socket closes. A network that dies without
 * closing it is noticed after 2.5 silent heartbeat intervals, or after 2.5 s
 * when probe is called, which the page does as soon as the browser reports a
 * change of network or wakes up.
 */
export class StreamClient {
  private socket: Socket | undefined
  private status: StreamStatus = { state: 'stopped' }
  /** What the page wants; `asked` and `active` are how far the hub has followed. */
  private filter: StreamFilter = {}
  private mode: StreamMode = EVERY
  private asked: Subscription | undefined
  private active: Subscription | undefined
  private updating: StreamFilter | undefined
  private view = ''
  /** Outlives the connection; undefined while a snapshot or a change is incomplete. */
  private held: Held | undefined
  private modern = false
  private serial = 0
  private attempt = 0
  private lostSince = 0
  private heartbeatMs = 10_000
  private lastHeard = 0
  private welcomedAt = 0
  private watch: ReturnType<typeof setTimeout> | undefined
  private retry: ReturnType<typeof setTimeout> | undefined
  private probing: ReturnType<typeof setTimeout> | undefined
  private readonly connect: (url: string, protocol: string) => Socket
  private readonly random: () => number

  constructor(private readonly o: StreamOptions) {
    this.connect = o.connect ?? ((url, protocol) => new WebSocket(url, protocol) as unknown as Socket)
    this.random = o.random ?? Math.random
  }

  start(): void {
    if (this.status.state !== 'stopped') return
    this.open()
  }

  /** Closes for good. */
  stop(): void {
    this.drop()
    this.set({ state: 'stopped' })
  }

  /** Connects anew at once: after signing in or out, or because the reader asked for it. */
  restart(): void {
    this.drop()
    this.held = undefined // another caller may see something else
    this.attempt = 0
    this.open()
  }

  /** Changes what is subscribed to; takes effect now, or with the next connection. */
  subscribe(filter: StreamFilter): void {
    this.filter = filter
    if (this.socket && this.welcomedAt > 0) this.sendSubscribe()
  }

  /** Changes how much is sent, where the hub can; the view goes on. */
  setMode(mode: StreamMode): void {
    this.mode = mode
    if (this.socket && this.welcomedAt > 0 && this.modern) this.sendSubscribe()
  }

  /** Asks the hub for a sign of life; without one in PROBE_TIMEOUT_MS the connection counts as lost. */
  probe(): void {
    if (!this.socket || this.welcomedAt === 0 || this.probing) return
    const asked = Date.now()
    this.probing = setTimeout(() => {
      this.probing = undefined
      if (this.lastHeard < asked) this.lose('silent', 0)
    }, PROBE_TIMEOUT_MS)
    this.send({ type: 'ping', t: asked })
  }

  private open(): void {
    this.set({ state: 'connecting', attempt: this.attempt })
    let socket: Socket
    try {
      socket = this.connect(this.o.url, SUBPROTOCOL)
    } catch {
      this.lose('closed', 0)
      return
    }
    this.socket = socket
    this.welcomedAt = 0
    this.watch = setTimeout(() => this.lose('timeout', 0), CONNECT_TIMEOUT_MS)
    socket.onmessage = (e) => this.receive(e.data)
    socket.onclose = (e) => this.ended(e.code, e.reason)
    socket.onerror = null // a close event always follows and says more
  }

  private receive(data: unknown): void {
    this.lastHeard = Date.now()
    if (typeof data !== 'string') return
    const m = readMessage(data)
    if (!m) return
    switch (m.type) {
      case 'welcome':
        this.welcomedAt = this.lastHeard
        this.heartbeatMs = m.heartbeatSeconds * 1000
        this.modern = m.minIntervalMs !== undefined
        this.armWatch(SILENT_HEARTBEATS * this.heartbeatMs)
        this.tellTime(m.time)
        this.o.events.welcome(m)
        this.set({ state: 'loading' })
        this.sendSubscribe()
        break
      case 'subscribed':
        this.follow(m.id, m.view, m.resumed)
        break
      case 'snapshot':
        if (m.view !== this.view || !this.active) break
        this.held = m.last && m.position ? { ...this.active, position: m.position } : undefined
        this.o.events.snapshot(m)
        if (m.last) {
          this.set({ state: 'live' })
          this.sendSubscribe() // what was wanted meanwhile
        }
        break
      case 'delta':
        if (m.view !== this.view) break
        if (this.held && m.position) this.held.position = m.position
        this.o.events.delta(m)
        break
      case 'changed':
        this.moved(m)
        break
      case 'event':
        if (m.id === this.active?.id) this.o.events.event(m)
        break
      case 'heartbeat':
        // In the mode latest something older may still be held back.
        if (this.held?.mode.mode === 'every' && this.held.position.epoch === m.position?.epoch) this.held.position = m.position
        this.tellTime(m.time)
        break
      case 'error':
        this.failed(m)
        break
    }
  }

  // Each subscription has its own id, so that an answer that a newer one has
  // overtaken is known as such, and the one before it is given up only when
  // the hub has taken the new one: a refused filter does not stop the stream.
  private sendSubscribe(): void {
    const sameMode = !this.modern || (this.active && same(this.active.mode, this.mode))
    if (this.active && this.modern) {
      if (this.updating || this.asked || !this.held) return // one change at a time, of what is complete
      if (sameMode) {
        if (same(this.active.filter, this.filter)) return
        this.updating = this.filter
        this.send({ type: 'update', id: this.active.id, filter: this.filter })
        return
      }
    } else if (!this.asked && this.active && sameMode && same(this.active.filter, this.filter)) return
    // Another mode, or another connection: the filter as it is held, so that it
    // can be resumed; what else is wanted is changed afterwards.
    const held = this.modern ? this.held : undefined
    const mode = this.modern ? this.mode : EVERY
    this.asked = { id: `live-${++this.serial}`, filter: held?.filter ?? this.filter, mode }
    const { id, filter } = this.asked
    this.send({ type: 'subscribe', id, filter, ...(this.modern ? mode : {}), ...(held ? { after: held.position } : {}) })
  }

  private follow(id: string, view: string, resumed: boolean): void {
    if (id !== this.asked?.id) {
      this.send({ type: 'unsubscribe', id })
      return
    }
    if (this.active) this.send({ type: 'unsubscribe', id: this.active.id })
    this.active = this.asked
    this.asked = undefined
    this.view = view
    if (resumed && this.held) {
      const complete = this.held.mode.mode === 'every'
      this.held = { ...this.held, mode: this.active.mode }
      this.o.events.resumed(complete)
      this.set({ state: 'live' })
      this.sendSubscribe()
      return
    }
    this.held = undefined
    this.o.events.subscribed(this.active.filter)
  }

  private moved(m: Changed): void {
    if (!this.active || m.id !== this.active.id || !this.updating) return
    this.view = m.view
    this.held = undefined
    const filter = this.updating
    this.o.events.changed(m, filter)
    if (!m.last) return
    this.updating = undefined
    this.active = { ...this.active, filter }
    if (m.position) this.held = { ...this.active, position: m.position }
    this.sendSubscribe()
  }

  private failed(e: StreamError): void {
    if (e.id !== '' && this.updating && e.id === this.active?.id) {
      const refused = this.updating
      this.updating = undefined
      this.o.events.error(e)
      if (same(this.filter, refused)) this.filter = this.active.filter
      else this.sendSubscribe()
      return
    }
    if (e.id !== '' && e.id !== this.asked?.id) return // of a subscription no longer wanted
    this.o.events.error(e)
    if (e.id === '') return
    const refused = this.asked
    this.asked = undefined
    if (this.active) {
      this.filter = this.active.filter
      this.mode = this.active.mode
      return
    }
    if (this.held && refused) {
      this.held = undefined // perhaps only the position was refused: begin anew, once
      this.sendSubscribe()
      return
    }
    this.drop()
    this.set({ state: 'refused', code: 0, reason: e.hint ? `${e.message} (${e.hint})` : e.message })
  }

  private send(m: object): void {
    try {
      this.socket?.send(JSON.stringify(m))
    } catch {
      // The socket is closing: its close event is on the way and is what counts.
    }
  }

  private tellTime(time: string): void {
    const ms = Date.parse(time)
    if (!Number.isNaN(ms)) this.o.events.serverTime(ms)
  }

  // The timer is not set again with every frame, of which there may be
  // thousands a second: it looks when it fires and sleeps for the rest.
  private armWatch(ms: number): void {
    clearTimeout(this.watch)
    this.watch = setTimeout(() => {
      const left = this.lastHeard + SILENT_HEARTBEATS * this.heartbeatMs - Date.now()
      if (left <= 0) this.lose('silent', 0)
      else this.armWatch(left)
    }, ms)
  }

  private ended(code: number, reason: string): void {
    this.o.events.closed(code)
    if (code >= 4000 && code <= 4099) {
      this.drop()
      this.set({ state: 'refused', code, reason })
      return
    }
    this.lose('closed', code)
  }

  private lose(reason: LossReason, code: number): void {
    const now = Date.now()
    if (this.welcomedAt > 0 && now - this.welcomedAt >= STABLE_MS) this.attempt = 0
    const since = this.status.state === 'connecting' && this.lostSince > 0 ? this.lostSince : now
    this.drop()
    this.attempt++
    const wait = backoffMs(this.attempt, this.random)
    this.lostSince = since
    this.retry = setTimeout(() => this.open(), wait)
    this.set({ state: 'lost', reason, code, sinceMs: since, attempt: this.attempt, retryAtMs: now + wait })
  }

  // Lets go of socket and timers without waiting for the closing handshake,
  // which a dead network would keep open for minutes.
  private drop(): void {
    clearTimeout(this.watch)
    clearTimeout(this.retry)
    clearTimeout(this.probing)
    this.probing = undefined
    this.view = ''
    this.asked = undefined
    this.active = undefined
    this.updating = undefined
    this.welcomedAt = 0
    const s = this.socket
    this.socket = undefined
    if (!s) return
    s.onopen = s.onmessage = s.onclose = s.onerror = null
    s.close()
  }

  private set(s: StreamStatus): void {
    if (s.state === 'live') this.lostSince = 0
    this.status = s
    this.o.events.status(s)
  }
}

function same(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** The stream's address on the page's own origin. */
export function streamUrl(location: { protocol: string; host: string }): string {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/stream`
}
