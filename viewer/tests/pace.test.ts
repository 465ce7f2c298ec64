import { expect, test } from 'vitest'
import { HIDDEN_INTERVAL_MS, Pace, RECOVERY_MS, SLOW_INTERVAL_MS } from '../src/api/streamPace'

function setup() {
  const modes: unknown[] = []
  const clock = { ms: 0 }
  const pace = new Pace((m) => void modes.push(m.mode === 'every' ? 'every' : m.minIntervalMs), () => clock.ms)
  return { pace, modes, clock, draw: (ms: number, times: number) => { for (let i = 0; i < times; i++) { clock.ms += 100; pace.drawn(ms) } } }
}

test('a hidden page asks for the latest, a page that is seen for every reading', () => {
  const t = setup()
  t.pace.setHidden(false)
  t.pace.setHidden(true)
  t.pace.setHidden(true)
  t.draw(9000, 50) // nothing is drawn in time while hidden
  t.pace.setHidden(false)
  expect(t.modes).toEqual([HIDDEN_INTERVAL_MS, 'every'])
})

test('a slow renderer asks for the latest and comes back only after a while', () => {
  const t = setup()
  t.draw(2000, 1) // one late frame is no reason
  expect(t.modes).toEqual([])
  t.draw(20, 50)
  t.draw(600, 20)
  expect(t.modes).toEqual([SLOW_INTERVAL_MS])
  t.draw(20, RECOVERY_MS / 100)
  t.draw(600, 20) // not yet: it was too slow again
  t.draw(20, RECOVERY_MS / 100)
  expect(t.modes).toEqual([SLOW_INTERVAL_MS])
  t.draw(20, RECOVERY_MS / 100)
  expect(t.modes).toEqual([SLOW_INTERVAL_MS, 'every'])
})

test('a slow consumer whom the hub closed asks for the latest', () => {
  const t = setup()
  t.pace.fallBehind()
  t.pace.setHidden(true)
  t.pace.setHidden(false)
  expect(t.modes).toEqual([SLOW_INTERVAL_MS, HIDDEN_INTERVAL_MS, SLOW_INTERVAL_MS])
})
