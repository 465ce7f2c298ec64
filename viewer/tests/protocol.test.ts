import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readMessage, type StreamFilter } from '../src/api/protocol'

// The types of src/api/protocol.ts are written by hand; the protocol's own
// examples, which the hub's tests play against a real server, hold them to it.
const doc = readFileSync(new URL('../../streams/ws/PROTOCOL.md', import.meta.url), 'utf8')
const lines = [...doc.matchAll(/```stream\n([\s\S]*?)```/g)].flatMap((m) => m[1]!.trim().split('\n'))
const said = (by: string) => lines.filter((l) => l.startsWith(`${by} {`)).map((l) => JSON.parse(l.slice(2)) as Record<string, unknown>)

/** What this client has no use for: replay is not asked for. */
const UNUSED = new Set(['replayed', 'live', 'end'])

test('every message of the hub in PROTOCOL.md is understood with all that the page needs', () => {
  const seen = new Set<string>()
  for (const m of said('<')) {
    const type = m['type'] as string
    if (UNUSED.has(type)) continue
    const r = readMessage(JSON.stringify(m)) as unknown as Record<string, unknown>
    expect(r, JSON.stringify(m)).toBeDefined()
    seen.add(type)
    // What is read is what was said, for each member that the type has.
    for (const [name, value] of Object.entries(r)) {
      if (name !== 'members' && name in m) expect(value, `${type}.${name}`).toEqual(m[name])
    }
    for (const name of ['position', 'datastreams', 'observations', 'left', 'view', 'last']) {
      if (name in m && type !== 'event' && type !== 'subscribed') expect(r, `${type} loses ${name}`).toHaveProperty(name)
    }
  }
  for (const type of ['welcome', 'subscribed', 'snapshot', 'delta', 'heartbeat', 'error', 'unsubscribed', 'pong']) expect(seen).toContain(type)
})

test('every member of a filter in PROTOCOL.md has a type here', () => {
  const known: Record<keyof StreamFilter, true> = { observedProperties: true, datastreams: true, bbox: true, polygon: true, objects: true, parts: true, districts: true, domains: true, cql: true }
  let filters = 0
  for (const m of said('>')) {
    for (const name of Object.keys((m['filter'] as object | undefined) ?? {})) {
      if (name === 'observedProperty') continue // the example of a slip
      filters++
      expect(Object.keys(known)).toContain(name)
    }
  }
  expect(filters).toBeGreaterThan(3)
})
