// Web Mercator (EPSG:3857) for a screen: the world is a unit square, x east,
// y south, from WGS 84 degrees. Pure arithmetic; no map library.

/** A bounding box in WGS 84 degrees: west, south, east, north. */
export type BBox = [west: number, south: number, east: number, north: number]

/** The latitude at which Web Mercator's square world ends, in degrees. */
export const MAX_LAT = 85.05112878
/** Equatorial circumference in metres on the sphere of radius 6378137 m that EPSG:3857 uses. */
const CIRCUMFERENCE = 2 * Math.PI * 6378137

/** What a map of `width` × `height` CSS pixels shows: its centre in the unit square, and pixels per world. */
export interface MapView {
  x: number
  y: number
  scale: number
  width: number
  height: number
}

const MIN_SCALE = 256
const MAX_SCALE = 256 * 2 ** 21

export function lonToX(lon: number): number {
  return (lon + 180) / 360
}

export function latToY(lat: number): number {
  const s = Math.sin((Math.max(-MAX_LAT, Math.min(MAX_LAT, lat)) * Math.PI) / 180)
  return 0.5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI)
}

export function xToLon(x: number): number {
  return x * 360 - 180
}

export function yToLat(y: number): number {
  return (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI
}

/** Screen position in CSS pixels of a WGS 84 point. */
export function toScreen(v: MapView, lon: number, lat: number): [number, number] {
  return [(lonToX(lon) - v.x) * v.scale + v.width / 2, (latToY(lat) - v.y) * v.scale + v.height / 2]
}

/** WGS 84 longitude and latitude of a screen position. */
export function toLonLat(v: MapView, px: number, py: number): [number, number] {
  return [xToLon(v.x + (px - v.width / 2) / v.scale), yToLat(v.y + (py - v.height / 2) / v.scale)]
}

/** What the view shows, clamped to the world. */
export function boundsOf(v: MapView): BBox {
  const [west, north] = toLonLat(v, 0, 0)
  const [east, south] = toLonLat(v, v.width, v.height)
  return [Math.max(-180, west), Math.max(-90, south), Math.min(180, east), Math.min(90, north)]
}

export function contains(b: BBox, lon: number, lat: number): boolean {
  return lon >= b[0] && lon <= b[2] && lat >= b[1] && lat <= b[3]
}

/** The smallest box around points; undefined when there are none. */
export function boxAround(points: Iterable<readonly [number, number]>): BBox | undefined {
  let box: BBox | undefined
  for (const [lon, lat] of points) {
    if (!box) box = [lon, lat, lon, lat]
    else {
      box[0] = Math.min(box[0], lon)
      box[1] = Math.min(box[1], lat)
      box[2] = Math.max(box[2], lon)
      box[3] = Math.max(box[3], lat)
    }
  }
  return box
}

/** A view of the given size that shows the whole box inside a margin, and at least `leastMetres` across. */
export function fit(box: BBox, width: number, height: number, margin: number, leastMetres = 800): MapView {
  const x0 = lonToX(box[0])
  const x1 = lonToX(box[2])
  const y0 = latToY(box[3])
  const y1 = latToY(box[1])
  const least = leastMetres / (CIRCUMFERENCE * Math.cos((((box[1] + box[3]) / 2) * Math.PI) / 180))
  const w = Math.max(1, width - 2 * margin)
  const h = Math.max(1, height - 2 * margin)
  const scale = Math.min(w / Math.max(x1 - x0, least), h / Math.max(y1 - y0, least))
  return clampView({ x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale, width, height })
}

/** The view moved so that what was at the pointer's start lies under its end. */
export function pan(v: MapView, dx: number, dy: number): MapView {
  return clampView({ ...v, x: v.x - dx / v.scale, y: v.y - dy / v.scale })
}

/** The view enlarged by a factor around a screen point, which stays where it is. */
export function zoomAt(v: MapView, factor: number, px: number, py: number): MapView {
  const scale = Math.max(MIN_SCALE, Math.min(MAX_SCALE, v.scale * factor))
  const ox = px - v.width / 2
  const oy = py - v.height / 2
  return clampView({ ...v, scale, x: v.x + ox / v.scale - ox / scale, y: v.y + oy / v.scale - oy / scale })
}

/** The same place and scale in another size of screen. */
export function resize(v: MapView, width: number, height: number): MapView {
  return { ...v, width, height }
}

function clampView(v: MapView): MapView {
  return { ...v, scale: Math.max(MIN_SCALE, Math.min(MAX_SCALE, v.scale)), x: Math.max(0, Math.min(1, v.x)), y: Math.max(0, Math.min(1, v.y)) }
}

/** Ground metres per CSS pixel at the centre of the view. */
export function metresPerPixel(v: MapView): number {
  return (CIRCUMFERENCE * Math.cos((yToLat(v.y) * Math.PI) / 180)) / v.scale
}

/** The longest of 1, 2, 5 × 10ⁿ metres that fits into `maxPixels`. */
export function scaleBar(v: MapView, maxPixels: number): { metres: number; pixels: number } {
  const perPixel = metresPerPixel(v)
  const limit = perPixel * maxPixels
  const power = 10 ** Math.floor(Math.log10(limit))
  const metres = [5, 2, 1].map((m) => m * power).find((m) => m <= limit) ?? power
  return { metres, pixels: metres / perPixel }
}

/** Spacing of a graticule in degrees such that lines are at least `minPixels` apart, with the decimals its labels need. */
export function graticuleStep(v: MapView, minPixels: number): { degrees: number; digits: number } {
  const perDegree = v.scale / 360
  for (let digits = 4; digits >= 0; digits--) {
    for (const m of [1, 2, 5]) {
      const degrees = m * 10 ** -digits
      if (degrees * perDegree >= minPixels) return { degrees, digits }
    }
  }
  return { degrees: [10, 15, 30, 45].find((d) => d * perDegree >= minPixels) ?? 90, digits: 0 }
}
