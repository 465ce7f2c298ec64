// Validates the MapLibre styles of a folder and prints what is wrong as JSON.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { validateStyleMin } from '@maplibre/maplibre-gl-style-spec'

const dir = process.argv[2]
const wrong = []
let layers = 0
for (const file of readdirSync(dir)) {
  const style = JSON.parse(readFileSync(join(dir, file), 'utf8'))
  layers += style.layers.length
  for (const e of validateStyleMin(style)) wrong.push(`${file}: ${e.message}`)
}
process.stdout.write(JSON.stringify({ Layers: layers, Wrong: wrong }))
