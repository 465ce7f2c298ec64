/** How many values a sparkline shows, and how many a Ring keeps. */
export const SPARK_VALUES = 60

/**
 * The last values of one Datastream, ascending by phenomenon time. It grows to
 * its capacity and then drops the oldest, so its memory is bounded. A value
 * with a time already held is a correction and replaces it.
 */
export class Ring {
  private times: Float64Array
  private values: Float64Array
  private n = 0

  constructor(private readonly capacity: number = SPARK_VALUES) {
    const first = Math.min(8, capacity)
    this.times = new Float64Array(first)
    this.values = new Float64Array(first)
  }

  get length(): number {
    return this.n
  }

  /** Time in ms since 1970 UTC of the i-th value, oldest first; NaN outside. */
  time(i: number): number {
    return i >= 0 && i < this.n ? this.times[i]! : NaN
  }

  value(i: number): number {
    return i >= 0 && i < this.n ? this.values[i]! : NaN
  }

  /** Puts a value at its place in time; false when it is older than all that a full ring holds. */
  insert(timeMs: number, value: number): boolean {
    let at = this.n
    while (at > 0 && this.times[at - 1]! > timeMs) at--
    if (at > 0 && this.times[at - 1] === timeMs) {
      this.values[at - 1] = value
      return true
    }
    if (this.n === this.capacity) {
      if (at === 0) return false
      this.times.copyWithin(0, 1, at)
      this.values.copyWithin(0, 1, at)
      at--
    } else {
      if (this.n === this.times.length) this.grow()
      this.times.copyWithin(at + 1, at, this.n)
      this.values.copyWithin(at + 1, at, this.n)
      this.n++
    }
    this.times[at] = timeMs
    this.values[at] = value
    return true
  }

  /**
   * The usual distance of two readings in ms: the median gap, which a pause or
   * a late reading does not move. NaN with fewer than three gaps.
   */
  usualIntervalMs(): number {
    if (this.n < 4) return NaN
    const gaps = new Float64Array(this.n - 1)
    for (let i = 1; i < this.n; i++) gaps[i - 1] = this.times[i]! - this.times[i - 1]!
    gaps.sort()
    return gaps[gaps.length >> 1]!
  }

  private grow(): void {
    const size = Math.min(this.capacity, this.times.length * 2)
    const times = new Float64Array(size)
    const values = new Float64Array(size)
    times.set(this.times)
    values.set(this.values)
    this.times = times
    this.values = values
  }
}

/**
 * SVG path of a ring's values in a box of the given size (any unit), evenly
 * spaced in order of time, with a margin so that the stroke is not cut.
 * Empty with fewer than two values. A flat line runs through the middle.
 */
export function sparkPath(ring: Ring, width: number, height: number, margin = 2): string {
  const n = ring.length
  if (n < 2) return ''
  let low = Infinity
  let high = -Infinity
  for (let i = 0; i < n; i++) {
    const v = ring.value(i)
    if (v < low) low = v
    if (v > high) high = v
  }
  const span = high - low
  const dx = (width - 2 * margin) / (n - 1)
  const dy = height - 2 * margin
  let path = ''
  for (let i = 0; i < n; i++) {
    const y = span > 0 ? margin + dy * (1 - (ring.value(i) - low) / span) : height / 2
    path += `${i === 0 ? 'M' : 'L'}${round(margin + i * dx)} ${round(y)}`
  }
  return path
}

/** Where sparkPath puts the newest value; undefined where it draws nothing. */
export function sparkEnd(ring: Ring, width: number, height: number, margin = 2): { x: number; y: number } | undefined {
  const path = sparkPath(ring, width, height, margin)
  const last = path.lastIndexOf('L')
  if (last < 0) return undefined
  const [x, y] = path.slice(last + 1).split(' ').map(Number)
  return { x: x!, y: y! }
}

function round(v: number): number {
  return Math.round(v * 10) / 10
}
