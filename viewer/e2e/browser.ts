// What the end-to-end tests share: the hub under test, a browser, and a wire
// between them that can be cut.
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { existsSync } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'

/**
 * A TCP wire from a free port to the hub. cut() ends every connection and
 * refuses new ones, as a hub that has stopped would; mend() takes them again.
 */
export class Wire {
  private server: Server | undefined
  private readonly open = new Set<Socket>()
  private port = 0

  constructor(private readonly target: URL) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async mend(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(Number(this.target.port || 80), this.target.hostname)
      for (const [a, b] of [
        [near, far],
        [far, near],
      ] as const) {
        this.open.add(a)
        a.on('error', () => b.destroy())
        a.on('close', () => {
          this.open.delete(a)
          b.destroy()
        })
      }
      near.pipe(far)
      far.pipe(near)
    })
    await new Promise<void>((ok, fail) => server.once('error', fail).listen(this.port, '127.0.0.1', ok))
    this.port = (server.address() as AddressInfo).port
    this.server = server
  }

  async cut(): Promise<void> {
    const server = this.server
    this.server = undefined
    const closed = new Promise<void>((ok) => (server ? server.close(() => ok()) : ok()))
    for (const s of this.open) s.destroy()
    await closed
  }
}

/** Debian's Chromium, or the one named by CHROMIUM. Nothing it does needs a network. */
export async function launch(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
  if (!existsSync(executablePath)) throw new Error(`no browser at ${executablePath}: install Debian's chromium, or name one in CHROMIUM`)
  return chromium.launch({
    executablePath,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-first-run'],
  })
}
