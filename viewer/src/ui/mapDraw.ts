// Draws the plain map on a canvas: backdrop and terminals apart, because the
// one changes with the view and the other with every reading. Sizes are in CSS
// pixels times `unit`, which follows the page's type size.

import { CANALS, LANDMARKS, MOAT, RENMIN_ROAD, type LonLat } from '../model/gusu'
import { DOMAINS, isDomain, type Language } from '../model/datastream'
import { formatDegrees } from '../model/format'
import { boundsOf, graticuleStep, toScreen, type MapView } from '../model/mercator'
import type { Terminal } from '../model/rows'

/** Colours and fonts of the current theme, read from the page's CSS. */
export interface Ink {
  paper: string
  land: string
  water: string
  waterEdge: string
  road: string
  grid: string
  text: string
  ink: string
  sheet: string
  seal: string
  serif: string
  sans: string
  domains: Record<string, string>
}

export function readInk(style: CSSStyleDeclaration): Ink {
  const v = (name: string) => style.getPropertyValue(name).trim()
  return {
    paper: v('--map-paper'),
    land: v('--map-land'),
    water: v('--map-water'),
    waterEdge: v('--map-water-edge'),
    road: v('--map-road'),
    grid: v('--map-grid'),
    text: v('--map-text'),
    ink: v('--ink'),
    sheet: v('--sheet'),
    seal: v('--seal'),
    serif: v('--serif'),
    sans: v('--sans'),
    domains: Object.fromEntries([...DOMAINS, 'other'].map((d) => [d, v(`--d-${d}`)])),
  }
}

export type DomainKey = (typeof DOMAINS)[number] | 'other'

export function domainKey(domain: string): DomainKey {
  return isDomain(domain) ? domain : 'other'
}

/**
 * Outline of a domain's mark around a centre: shapes differ, so that nobody has
 * to tell five colours apart. As an SVG path, which canvas draws too.
 */
export function markPath(domain: DomainKey, x: number, y: number, r: number): string {
  switch (domain) {
    case 'environment':
      return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`
    case 'transport':
      return polygon(x, y, r * 1.2, 4, Math.PI / 4)
    case 'emergency':
      return polygon(x, y + r * 0.15, r * 1.3, 3, -Math.PI / 2)
    case 'public-safety':
      return polygon(x, y, r * 1.25, 4, 0)
    case 'city-management':
      return polygon(x, y, r * 1.12, 6, 0)
    case 'other':
      return polygon(x, y - r * 0.15, r * 1.3, 3, Math.PI / 2)
  }
}

function polygon(x: number, y: number, r: number, corners: number, turn: number): string {
  let path = ''
  for (let i = 0; i < corners; i++) {
    const a = turn + (i * 2 * Math.PI) / corners
    path += `${i ? 'L' : 'M'}${(x + r * Math.cos(a)).toFixed(2)} ${(y + r * Math.sin(a)).toFixed(2)}`
  }
  return `${path}Z`
}

/** Backdrop: the schematic old town under a graticule with its degrees; names keep clear of the terminals' marks. */
export function drawBackdrop(c: CanvasRenderingContext2D, v: MapView, marks: readonly Mark[], ink: Ink, language: Language, unit: number): void {
  c.fillStyle = ink.paper
  c.fillRect(0, 0, v.width, v.height)
  drawTown(c, v, ink, unit)
  drawGraticule(c, v, ink, unit)
  drawLandmarks(c, v, marks, ink, language, unit)
}

function trace(c: CanvasRenderingContext2D, v: MapView, line: readonly LonLat[]): void {
  c.beginPath()
  line.forEach(([lon, lat], i) => {
    const [x, y] = toScreen(v, lon, lat)
    if (i === 0) c.moveTo(x, y)
    else c.lineTo(x, y)
  })
}

function drawTown(c: CanvasRenderingContext2D, v: MapView, ink: Ink, unit: number): void {
  // Widths in pixels that grow a little with the scale: the lines are schematic, not to scale.
  const w = Math.max(0.35, Math.min(2, v.scale / 6_000_000)) * unit
  c.lineJoin = 'round'
  c.lineCap = 'round'
  trace(c, v, MOAT)
  c.closePath()
  c.fillStyle = ink.land
  c.fill()
  trace(c, v, RENMIN_ROAD)
  stroke(c, ink.road, 3 * w)
  for (const canal of CANALS) {
    trace(c, v, canal.line)
    stroke(c, ink.water, 4.5 * w)
  }
  trace(c, v, MOAT)
  c.closePath()
  stroke(c, ink.waterEdge, 11 * w)
  stroke(c, ink.water, 11 * w - 2 * Math.min(unit, w))
}

function stroke(c: CanvasRenderingContext2D, style: string, width: number): void {
  c.strokeStyle = style
  c.lineWidth = width
  c.stroke()
}

function drawGraticule(c: CanvasRenderingContext2D, v: MapView, ink: Ink, unit: number): void {
  const { degrees, digits } = graticuleStep(v, 110 * unit)
  const [west, south, east, north] = boundsOf(v)
  c.strokeStyle = ink.grid
  c.fillStyle = ink.text
  c.lineWidth = 1
  c.font = `${11 * unit}px ${ink.sans}`
  c.textBaseline = 'top'
  c.textAlign = 'left'
  c.beginPath()
  // Counting steps keeps binary fractions from adding up.
  for (let i = Math.ceil(west / degrees); i * degrees <= east; i++) {
    const x = Math.round(toScreen(v, i * degrees, 0)[0]) + 0.5
    c.moveTo(x, 0)
    c.lineTo(x, v.height)
    if (x > 60 * unit) c.fillText(formatDegrees(i * degrees, 'lon', digits), x + 4 * unit, 5 * unit)
  }
  for (let i = Math.ceil(south / degrees); i * degrees <= north; i++) {
    const y = Math.round(toScreen(v, 0, i * degrees)[1]) + 0.5
    c.moveTo(0, y)
    c.lineTo(v.width, y)
    if (y > 24 * unit && y < v.height - 60 * unit) c.fillText(formatDegrees(i * degrees, 'lat', digits), 5 * unit, y + 4 * unit)
  }
  c.stroke()
}

type Box = readonly [left: number, top: number, right: number, bottom: number]

function overlap(a: Box, b: Box): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

// A name stands right, left, below or above its landmark, wherever it covers
// neither a terminal nor a better-known name; where nothing is free it is left out.
function drawLandmarks(c: CanvasRenderingContext2D, v: MapView, marks: readonly Mark[], ink: Ink, language: Language, unit: number): void {
  if (v.scale < 2_000_000) return // from afar they would be one blot
  c.font = `${12.5 * unit}px ${ink.serif}`
  c.textBaseline = 'middle'
  c.textAlign = 'left'
  const reach = 7 * unit
  const taken: Box[] = marks.map((m) => [m.x - reach, m.y - reach, m.x + reach, m.y + reach])
  const half = 8 * unit
  const gap = 6 * unit
  for (const l of LANDMARKS) {
    const [x, y] = toScreen(v, l.at[0], l.at[1])
    if (x < 0 || y < 0 || x > v.width || y > v.height) continue
    const name = language === 'en' ? l.nameEn : l.name
    const wide = c.measureText(name).width
    const places = [
      [x + gap, y],
      [x - gap - wide, y],
      [x - wide / 2, y + gap + half],
      [x - wide / 2, y - gap - half],
    ] as const
    for (const [tx, ty] of places) {
      const box: Box = [tx - 2 * unit, ty - half, tx + wide + 2 * unit, ty + half]
      if (box[0] < 0 || box[2] > v.width || taken.some((t) => overlap(t, box))) continue
      taken.push(box)
      c.fillStyle = ink.text
      c.fillRect(x - 1.5 * unit, y - 1.5 * unit, 3 * unit, 3 * unit)
      c.strokeStyle = ink.land
      c.lineWidth = 3 * unit
      c.strokeText(name, tx, ty)
      c.fillText(name, tx, ty)
      break
    }
  }
}

/** A terminal on the map and how it is to be drawn. */
export interface Mark {
  terminal: Terminal
  x: number
  y: number
  /** Its readings are within the subscription. */
  subscribed: boolean
  /** 0 … 1 since a reading came in; 1 draws nothing. */
  pulse: number
}

export function drawMarks(c: CanvasRenderingContext2D, v: MapView, marks: readonly Mark[], selected: string | undefined, hovered: string | undefined, ink: Ink, unit: number): void {
  c.clearRect(0, 0, v.width, v.height)
  const r = (marks.length > 400 ? 3.5 : 5.5) * unit
  for (const m of marks) {
    if (m.pulse >= 1 || !m.subscribed) continue
    c.globalAlpha = 0.5 * (1 - m.pulse)
    c.beginPath()
    c.arc(m.x, m.y, r + 11 * unit * m.pulse, 0, 2 * Math.PI)
    stroke(c, ink.domains[domainKey(m.terminal.domain)]!, 1.5 * unit)
  }
  c.globalAlpha = 1
  for (const m of marks) drawMark(c, m, r, ink, unit)
  for (const m of marks) {
    if (m.terminal.code !== selected && m.terminal.code !== hovered) continue
    drawMark(c, m, r * 1.25, ink, unit)
    c.beginPath()
    c.arc(m.x, m.y, r * 2.2, 0, 2 * Math.PI)
    stroke(c, m.terminal.code === selected ? ink.seal : ink.ink, (m.terminal.code === selected ? 2.5 : 1.25) * unit)
  }
}

// A mark looks alike wherever it stands: it is drawn once and copied, which
// keeps thousands of terminals cheap.
const stamps = new Map<string, HTMLCanvasElement>()

function drawMark(c: CanvasRenderingContext2D, m: Mark, r: number, ink: Ink, unit: number): void {
  const key = domainKey(m.terminal.domain)
  const fill = m.subscribed ? ink.domains[key]! : ink.sheet
  const line = m.subscribed ? ink.sheet : ink.domains[key]!
  const ratio = c.getTransform().a
  const half = Math.ceil(r * 1.3 + 2 * unit)
  const name = [key, fill, line, r.toFixed(2), ratio].join()
  let stamp = stamps.get(name)
  if (!stamp) {
    if (stamps.size > 200) stamps.clear() // sizes and themes the reader has left
    stamp = document.createElement('canvas')
    stamp.width = stamp.height = Math.ceil(2 * half * ratio)
    const s = stamp.getContext('2d')
    if (!s) return
    s.scale(ratio, ratio)
    const path = new Path2D(markPath(key, half, half, r))
    s.fillStyle = fill
    s.strokeStyle = line
    s.lineWidth = 1.5 * unit
    s.fill(path)
    s.stroke(path)
    stamps.set(name, stamp)
  }
  c.drawImage(stamp, m.x - half, m.y - half, 2 * half, 2 * half)
}
