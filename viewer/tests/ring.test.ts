import { describe, expect, test } from 'vitest'
import { Ring, sparkEnd, sparkPath } from '../src/model/ring'

function held(r: Ring): [number, number][] {
  return Array.from({ length: r.length }, (_, i) => [r.time(i), r.value(i)])
}

describe('Ring', () => {
  test('keeps the newest of its capacity in order of time, whatever the order of arrival', () => {
    const times = [5, 1, 9, 3, 7, 2, 8, 6, 4, 10]
    const r = new Ring(4)
    for (const t of times) r.insert(t, t * 10)
    expect(held(r)).toEqual([
      [7, 70],
      [8, 80],
      [9, 90],
      [10, 100],
    ])
  })

  test('grows past its first size', () => {
    const r = new Ring(60)
    for (let t = 0; t < 100; t++) r.insert(t, -t)
    expect(r.length).toBe(60)
    expect([r.time(0), r.time(59), r.value(59)]).toEqual([40, 99, -99])
    expect([r.time(60), r.time(-1)]).toEqual([NaN, NaN])
  })

  test('a second value for an instant corrects the first', () => {
    const r = new Ring(3)
    for (const t of [1, 2, 3]) r.insert(t, t)
    expect(r.insert(2, 22)).toBe(true)
    expect(held(r)).toEqual([
      [1, 1],
      [2, 22],
      [3, 3],
    ])
  })

  test('refuses what is older than all that a full ring holds', () => {
    const r = new Ring(2)
    r.insert(5, 5)
    r.insert(6, 6)
    expect(r.insert(4, 4)).toBe(false)
    expect(held(r)).toEqual([
      [5, 5],
      [6, 6],
    ])
  })

  test('usual interval is the median gap, which one pause does not move', () => {
    const r = new Ring()
    for (const t of [0, 10, 20, 30]) r.insert(t, 0)
    expect(r.usualIntervalMs()).toBe(10)
    r.insert(9000, 0)
    expect(r.usualIntervalMs()).toBe(10)
    const few = new Ring()
    for (const t of [0, 10, 20]) few.insert(t, 0)
    expect(few.usualIntervalMs()).toBeNaN()
  })
})

describe('sparkline', () => {
  test('spans the box from lowest to highest', () => {
    const r = new Ring()
    r.insert(1, 0)
    r.insert(2, 10)
    r.insert(3, 5)
    expect(sparkPath(r, 104, 24, 2)).toBe('M2 22L52 2L102 12')
    expect(sparkEnd(r, 104, 24, 2)).toEqual({ x: 102, y: 12 })
  })
  test('is flat in the middle for equal values, and empty for fewer than two', () => {
    const r = new Ring()
    r.insert(1, 7)
    expect(sparkPath(r, 100, 20)).toBe('')
    expect(sparkEnd(r, 100, 20)).toBeUndefined()
    r.insert(2, 7)
    expect(sparkPath(r, 104, 20)).toBe('M2 10L102 10')
  })
})
