import { computed, onScopeDispose, ref, shallowRef, watch, type Ref } from 'vue'
import { lastObservations } from '../api/observations'
import type { StreamError, StreamFilter } from '../api/protocol'
import { ANONYMOUS, signIn, signOut, takeToken, whoAmI, type Session } from '../api/session'
import { StreamClient, streamUrl, type StreamStatus } from '../api/stream'
import { Pace } from '../api/streamPace'
import type { Language } from '../model/datastream'
import type { BBox } from '../model/mercator'
import { SPARK_VALUES } from '../model/ring'
import { countProperties, matches, searchWords, sortRows, terminalsOf, type Row, type Sort } from '../model/rows'
import { HistoryLoader } from './history'
import { ReadingsStore, type Changes, type Scope } from './readings'

/** An order by age is made anew this often, in ms: rows must not dance under the reader's eyes. */
const AGE_ORDER_MS = 2000

export type Problem = { kind: 'subscription'; error: StreamError } | { kind: 'signIn' } | { kind: 'signOut' }

/** The part of a filter by which the rows of a view are known. */
function scopeOf(f: StreamFilter): Scope {
  return { properties: new Set(f.observedProperties ?? []), bbox: f.bbox }
}

/**
 * Joins session, stream, readings and filter for the page: everything that
 * components show, as refs. Disposed with the component that made it.
 */
export function useLive(language: Ref<Language>) {
  const fetcher = (input: string, init?: RequestInit) => fetch(input, init)
  const status = shallowRef<StreamStatus>({ state: 'connecting', attempt: 0 })
  const session = shallowRef<Session>(ANONYMOUS)
  const problem = shallowRef<Problem>()
  const now = ref(Date.now())
  const rate = ref(0)
  const everLoaded = ref(false)
  const frozenAt = ref(0)
  let offsetMs = 0

  // Ticks stand for plain data that changes in place: `structure` for which
  // rows there are, `readings` for what they hold.
  const structure = ref(0)
  const readings = ref(0)
  const ageOrder = ref(0)
  const store = new ReadingsStore((flush) => {
    const came = performance.now()
    requestAnimationFrame(() => {
      flush()
      pace.drawn(performance.now() - came)
    })
  })
  const readingListeners = new Set<(c: Changes) => void>()
  const stopListening = store.onChange((c) => {
    if (c.structure) structure.value++
    readings.value++
    for (const l of readingListeners) l(c)
  })

  const properties = shallowRef<ReadonlySet<string>>(new Set())
  const text = ref('')
  const only = ref<string>()
  const bbox = shallowRef<BBox>()
  const sort = shallowRef<Sort>({ key: 'name', descending: false })
  const selected = ref<string>()

  const streamFilter = (): StreamFilter => {
    const f: StreamFilter = {}
    if (properties.value.size > 0) f.observedProperties = [...properties.value].sort()
    if (bbox.value) f.bbox = bbox.value
    return f
  }

  const client = new StreamClient({
    url: streamUrl(location),
    events: {
      status(s) {
        if (s.state === 'lost' && status.value.state === 'live') frozenAt.value = Date.now() + offsetMs
        status.value = s
        if (s.state === 'live') everLoaded.value = true
      },
      welcome: () => undefined,
      subscribed: (f) => store.begin(scopeOf(f)),
      resumed: (complete) => {
        if (!complete) store.missed()
      },
      snapshot: (m) => store.snapshot(m.datastreams, m.observations, m.last),
      delta: (m) => store.delta(m.datastreams, m.observations, m.left),
      changed: (m, f) => store.change(scopeOf(f), m.left, m.datastreams, m.observations, m.last),
      event: () => undefined, // the page subscribes to none
      serverTime: (ms) => (offsetMs = ms - Date.now()),
      error: (error) => (problem.value = { kind: 'subscription', error }),
      closed: (code) => {
        if (code === 4100) pace.fallBehind() // this page took readings too slowly
        if (code === 4102 || code === 4001) void refreshSession() // access changed, or the session ended
      },
    },
  })
  const pace = new Pace((mode) => client.setMode(mode))
  const history = new HistoryLoader({
    fetch: (id, signal) => lastObservations(fetcher, id, SPARK_VALUES, signal),
    loaded: (id, past) => store.history(id, past),
  })
  watch([properties, bbox], () => client.subscribe(streamFilter()))

  const all = computed(() => (structure.value, [...store.rows.values()]))
  const terminals = computed(() => terminalsOf(all.value))
  const counts = computed(() => countProperties(all.value, bbox.value))
  const shown = computed<Row[]>(() => {
    if (sort.value.key === 'age') void ageOrder.value
    const filter = { properties: properties.value, text: text.value, terminal: only.value, bbox: bbox.value }
    const words = searchWords(text.value)
    return sortRows(
      all.value.filter((r) => matches(r, filter, words)),
      sort.value,
      language.value,
    )
  })
  const simulatedShown = computed(() => shown.value.reduce((n, r) => n + Number(r.datastream.simulated), 0))
  const filtered = computed(() => properties.value.size > 0 || text.value !== '' || only.value !== undefined || bbox.value !== undefined)
  // A terminal that is gone cannot stay selected.
  watch(terminals, (t) => {
    if (selected.value !== undefined && !t.has(selected.value)) selected.value = only.value = undefined
  })

  async function refreshSession(): Promise<void> {
    try {
      session.value = await whoAmI(fetcher)
    } catch {
      session.value = ANONYMOUS // the hub is not there: the stream's status says so
    }
  }

  async function enter(): Promise<void> {
    const token = takeToken(location, window.history)
    if (token !== undefined) {
      try {
        await signIn(fetcher, token)
        problem.value = undefined
      } catch {
        problem.value = { kind: 'signIn' }
      }
    }
    await refreshSession()
  }

  async function leave(): Promise<void> {
    try {
      await signOut(fetcher)
    } catch {
      problem.value = { kind: 'signOut' }
      return
    }
    await refreshSession()
    store.clear() // what only the operator may see must not stay on the screen
    client.restart()
  }

  let lastReceived = 0
  let ticks = 0
  const second = setInterval(() => {
    now.value = Date.now() + offsetMs
    rate.value = store.received - lastReceived
    lastReceived = store.received
    if (++ticks % (AGE_ORDER_MS / 1000) === 0) ageOrder.value++
  }, 1000)

  const probe = () => client.probe()
  const woke = () => {
    pace.setHidden(document.visibilityState === 'hidden')
    if (document.visibilityState === 'visible') client.probe()
  }
  const cameBack = () => {
    if (status.value.state === 'lost') client.restart()
    else client.probe()
  }
  const followLink = () => {
    if (location.hash.includes('token=')) void enter().then(() => client.restart())
  }
  window.addEventListener('offline', probe)
  window.addEventListener('online', cameBack)
  window.addEventListener('hashchange', followLink)
  document.addEventListener('visibilitychange', woke)

  // The session first: the stream is what the caller may see.
  void enter().then(() => client.start())

  onScopeDispose(() => {
    clearInterval(second)
    window.removeEventListener('offline', probe)
    window.removeEventListener('online', cameBack)
    window.removeEventListener('hashchange', followLink)
    document.removeEventListener('visibilitychange', woke)
    stopListening()
    history.stop()
    client.stop()
  })

  return {
    status,
    session,
    problem,
    now,
    rate,
    everLoaded,
    frozenAt,
    readings,
    all,
    terminals,
    counts,
    shown,
    simulatedShown,
    filtered,
    properties,
    text,
    only,
    bbox,
    sort,
    selected,
    /** Hears of the rows behind each tick of `readings`; returns how to stop. */
    onReadings(l: (c: Changes) => void): () => void {
      readingListeners.add(l)
      return () => readingListeners.delete(l)
    },
    showing: (rows: readonly Row[]) => history.show(rows),
    retry: () => client.restart(),
    leave,
    clearFilters() {
      properties.value = new Set()
      text.value = ''
      only.value = undefined
      bbox.value = undefined
    },
  }
}

export type Live = ReturnType<typeof useLive>
