import { beforeEach, describe, expect, test, vi, afterEach } from 'vitest'
import { HistoryLoader, MAX_IN_FLIGHT, RETRY_MS } from '../src/state/history'
import { MAX_EARLY, ReadingsStore } from '../src/state/readings'
import { newRow } from '../src/model/rows'
import { datastream } from './datastream'

let frames: (() => void)[] = []
let store: ReadingsStore
const frame = () => {
  const f = frames
  frames = []
  for (const run of f) run()
}
const everything = { properties: new Set<string>(), bbox: undefined }

beforeEach(() => {
  frames = []
  store = new ReadingsStore((f) => frames.push(f))
})

describe('ReadingsStore', () => {
  test('tells of any number of readings once per frame', () => {
    const told: { structure: boolean; n: number }[] = []
    store.onChange((c) => told.push({ structure: c.structure, n: c.rows.size }))
    store.begin(everything)
    store.snapshot(
      Array.from({ length: 1000 }, (_, i) => datastream(i + 1)),
      [],
      true,
    )
    for (let t = 0; t < 50; t++)
      store.delta(
        [],
        Array.from({ length: 100 }, (_, i) => [i + 1, t, t, 1] as [number, number, number, number]),
      )
    expect(frames.length).toBe(1)
    expect(told).toEqual([])
    frame()
    expect(told).toEqual([{ structure: true, n: 100 }])
    expect(store.received).toBe(5000)
    store.delta([], [[1, 60, 60, 1]])
    frame()
    expect(told[1]).toEqual({ structure: false, n: 1 })
    frame()
    expect(told.length).toBe(2)
  })

  test('applies 5,000 readings in a small part of a second', () => {
    store.begin(everything)
    const n = 5000
    store.snapshot(
      Array.from({ length: n }, (_, i) => datastream(i + 1)),
      [],
      true,
    )
    const start = performance.now()
    for (let t = 0; t < 20; t++)
      store.delta(
        [],
        Array.from({ length: n }, (_, i) => [i + 1, t * 1000, t, 1] as [number, number, number, number]),
      )
    // 100,000 readings: 20 s of the rate the page must stand. Ample for a busy machine.
    expect(performance.now() - start).toBeLessThan(2000)
    expect(store.rows.get(n)!.ring.length).toBe(20)
  })

  test('a delta that overtakes the description of its Datastream is kept for it', () => {
    store.begin(everything)
    store.delta([], [[7, 200, 2, 1]])
    store.delta([], [[7, 150, 1.5, 1]])
    store.snapshot([datastream(7)], [[7, 100, 1, 1]], true)
    expect([store.rows.get(7)!.timeMs, store.rows.get(7)!.result]).toEqual([200, 2])
  })

  test('a change of the view brings what is new in it, and what is gone goes', () => {
    const place = (id: number, property: string) => ({ ...datastream(id), property })
    store.begin({ properties: new Set(['a']), bbox: undefined })
    store.snapshot([place(1, 'a')], [], true)
    store.begin({ properties: new Set(['b']), bbox: undefined })
    store.snapshot([place(2, 'b'), place(3, 'b')], [], true)
    for (const row of store.rows.values()) row.history = 'loaded'
    // Back to a: 1 is still there, with 4; then to everything: 3 is gone.
    const a = { properties: new Set(['a']), bbox: undefined }
    store.change(a, [2], [place(1, 'a')], [[1, 100, 5, 1]], false)
    store.change(a, [3], [place(4, 'a')], [], true)
    expect([...store.rows.keys()]).toEqual([1, 2, 3, 4])
    expect([store.rows.get(1)!.result, store.rows.get(1)!.history, store.rows.get(2)!.history]).toEqual([5, 'none', 'loaded'])
    store.change(everything, [], [place(2, 'b')], [], true)
    expect([...store.rows.keys()]).toEqual([1, 2, 4])
    store.delta([], [], [4])
    expect([...store.rows.keys()]).toEqual([1, 2])
    store.missed()
    frame()
    expect([...store.rows.values()].map((r) => r.history)).toEqual(['none', 'none'])
  })

  test('what is kept for unknown Datastreams is bounded', () => {
    store.begin(everything)
    for (let i = 0; i < MAX_EARLY + 10; i++) store.delta([], [[i + 1, 1, 1, 1]])
    store.snapshot([datastream(1), datastream(MAX_EARLY + 5)], [], false)
    expect(store.rows.get(1)!.result).toBe(1)
    expect(store.rows.get(MAX_EARLY + 5)!.result).toBeUndefined()
  })

  test('the end of a snapshot removes what is gone, within its scope only', () => {
    store.begin(everything)
    store.snapshot([datastream(1), datastream(2), datastream(3, { property: 'o3' }), datastream(4, { lon: 10 })], [], true)
    store.begin({ properties: new Set(['pm25']), bbox: [120, 31, 121, 32] })
    store.snapshot([datastream(1)], [], false)
    expect([...store.rows.keys()]).toEqual([1, 2, 3, 4]) // not before the last part
    store.snapshot([], [], true)
    expect([...store.rows.keys()]).toEqual([1, 3, 4])
  })

  test('a changed description is taken over and searched', () => {
    store.begin(everything)
    store.snapshot([datastream(1)], [[1, 5, 5, 1]], true)
    frame()
    let structure = false
    store.onChange((c) => (structure = c.structure))
    store.delta([datastream(1)], [])
    frame()
    expect(structure).toBe(false)
    store.delta([datastream(1, { name: '新名' })], [])
    frame()
    expect(structure).toBe(true)
    expect(store.rows.get(1)!.haystack).toContain('新名')
    expect(store.rows.get(1)!.timeMs).toBe(5)
  })

  test('history joins the sparkline and leaves the latest reading alone', () => {
    store.begin(everything)
    store.snapshot([datastream(1)], [[1, 300, 3, 4]], true)
    store.history(1, [
      { timeMs: 300, result: 3 },
      { timeMs: 200, result: 2 },
      { timeMs: 100, result: 1 },
    ])
    const row = store.rows.get(1)!
    expect([row.ring.length, row.ring.value(0), row.result, row.quality, row.history]).toEqual([3, 1, 3, 4, 'loaded'])
    store.begin(everything) // a new connection may have missed readings
    expect(row.history).toBe('none')
    store.history(99, []) // a row that is gone meanwhile
  })

  test('forgets everything when the caller changes', () => {
    store.begin(everything)
    store.snapshot([datastream(1)], [], true)
    store.clear()
    expect(store.rows.size).toBe(0)
  })
})

describe('HistoryLoader', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('asks for visible rows once they stand still, a few at a time', async () => {
    const asked: number[] = []
    const answers: (() => void)[] = []
    const loader = new HistoryLoader({
      fetch: (id) => {
        asked.push(id)
        return new Promise((ok) => answers.push(() => ok([])))
      },
      loaded: (id) => void (rows[id - 1]!.history = 'loaded'),
    })
    const rows = Array.from({ length: 20 }, (_, i) => newRow(datastream(i + 1, i === 1 ? { result: 'OM_CategoryObservation' } : {})))
    loader.show(rows.slice(10)) // scrolled past
    await vi.advanceTimersByTimeAsync(50)
    expect(asked).toEqual([])
    loader.show(rows.slice(0, 8))
    await vi.advanceTimersByTimeAsync(200)
    expect(asked).toEqual([1, 3, 4, 5]) // a category has no sparkline
    expect(asked.length).toBe(MAX_IN_FLIGHT)
    answers[0]!()
    await vi.advanceTimersByTimeAsync(0)
    expect(asked).toEqual([1, 3, 4, 5, 6])
    loader.show(rows.slice(0, 3)) // all loaded or on the way
    answers.forEach((a) => a())
    await vi.advanceTimersByTimeAsync(1000)
    expect(asked.length).toBe(5)
    loader.stop()
  })

  test('a failure is tried again, but not at once', async () => {
    let calls = 0
    const loader = new HistoryLoader({ fetch: () => (calls++, Promise.reject(new Error('no'))), loaded: () => undefined })
    const row = newRow(datastream(1))
    loader.show([row])
    await vi.advanceTimersByTimeAsync(200)
    expect([calls, row.history]).toEqual([1, 'failed'])
    loader.show([row])
    await vi.advanceTimersByTimeAsync(1000)
    expect(calls).toBe(1)
    await vi.advanceTimersByTimeAsync(RETRY_MS)
    loader.show([row])
    await vi.advanceTimersByTimeAsync(200)
    expect(calls).toBe(2)
    loader.stop()
  })
})
