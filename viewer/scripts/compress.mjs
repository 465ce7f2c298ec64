// Leaves a .br and a .gz beside every built file that shrinks by it, so that
// the hub never compresses at run time, and restores the placeholder that lets
// Go embed an otherwise empty dist.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

const dist = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist')
const compressible = new Set(['.html', '.js', '.mjs', '.css', '.svg', '.json', '.webmanifest', '.txt', '.wasm', '.xml', '.glb'])
const smallest = 512 // bytes; below that a header costs more than the coding saves

const brotli = promisify(brotliCompress)
const gz = promisify(gzip)

let plain = 0
let zipped = 0
for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !compressible.has(extname(entry.name))) continue
  const file = join(entry.parentPath ?? entry.path, entry.name)
  const body = await readFile(file)
  if (body.length < smallest) continue
  const codings = [
    ['.br', await brotli(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: body.length } })],
    ['.gz', await gz(body, { level: 9 })],
  ]
  for (const [suffix, packed] of codings) {
    if (packed.length < body.length) await writeFile(file + suffix, packed)
  }
  plain += body.length
  zipped += codings[1][1].length
}
await writeFile(join(dist, '.gitkeep'), '')
console.log(`viewer: ${(plain / 1024).toFixed(0)} KiB built, ${(zipped / 1024).toFixed(0)} KiB as gzip`)
