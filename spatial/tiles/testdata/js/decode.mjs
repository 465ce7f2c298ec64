// Decodes every tile of a folder as map clients do and prints a summary of each
// layer as JSON.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { VectorTile, classifyRings } from '@mapbox/vector-tile'
import { PbfReader } from 'pbf'

const dir = process.argv[2]
const out = {}
for (const file of readdirSync(dir)) {
  const tile = new VectorTile(new PbfReader(readFileSync(join(dir, file))))
  out[file] = {}
  for (const [name, layer] of Object.entries(tile.layers)) {
    const s = { Features: 0, Vertices: 0, Polygons: 0, IDs: {}, HeightSum: 0, Outside: 0 }
    if (layer.version !== 2 || layer.extent !== 4096) throw new Error(`${file} ${name}: version ${layer.version}, extent ${layer.extent}`)
    for (let i = 0; i < layer.length; i++) {
      const f = layer.feature(i)
      s.Features++
      s.IDs[f.properties.id] = (s.IDs[f.properties.id] ?? 0) + 1
      if (typeof f.properties.height === 'number') s.HeightSum += f.properties.height
      const rings = f.loadGeometry()
      for (const r of rings) {
        s.Vertices += r.length
        for (const p of r) if (p.x < -64 || p.x > 4160 || p.y < -64 || p.y > 4160) s.Outside++
      }
      // Counts exterior rings by their winding: a ring that winds wrongly is lost.
      if (f.type === 3) s.Polygons += classifyRings(rings).length
    }
    out[file][name] = s
  }
}
process.stdout.write(JSON.stringify(out))
