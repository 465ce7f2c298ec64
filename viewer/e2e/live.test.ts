// The live page in a real browser. BASE_URL names a hub that has terminals
// publishing; without it the fixture is started. SHOTS names a folder for
// screenshots; without it none are taken.
import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launch, Wire } from './browser'

interface Hub {
  url: string
  close(): Promise<void>
}

let hub: Hub | undefined
let wire: Wire
let browser: Browser
const pages: Page[] = []
const shots = process.env['SHOTS']

beforeAll(async () => {
  let base = process.env['HUB_URL'] // BASE_URL, see vitest.e2e.config.ts
  if (!base) {
    const { startHub } = await import('./fixture/hub.mjs')
    hub = await startHub({ terminals: 40 })
    base = hub.url
  }
  wire = new Wire(new URL(base))
  await wire.mend()
  browser = await launch()
})

afterEach(async () => {
  for (const p of pages.splice(0)) await p.context().close()
})

afterAll(async () => {
  await browser?.close()
  await wire?.cut()
  await hub?.close()
})

async function open(options: BrowserContextOptions = {}, path = '/'): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ locale: 'zh-CN', timezoneId: 'Asia/Shanghai', viewport: { width: 1366, height: 768 }, ...options })
  const page = await context.newPage()
  pages.push(page)
  const complaints: string[] = []
  page.on('pageerror', (e) => complaints.push(`error: ${e.message}`))
  page.on('console', (m) => {
    if (m.type() === 'error' || m.type() === 'warning') complaints.push(`${m.type()}: ${m.text()}`)
  })
  page.on('request', (r) => {
    const u = new URL(r.url())
    if (u.protocol !== 'data:' && u.host !== new URL(wire.url).host) complaints.push(`foreign request: ${r.url()}`)
  })
  await page.goto(wire.url + path)
  return { page, complaints }
}

const rows = (page: Page) => page.locator('.row')
const live = (page: Page) => page.locator('[data-testid=connection][data-state=live]').waitFor({ timeout: 30_000 })

async function ready(page: Page): Promise<void> {
  await live(page)
  await rows(page).first().waitFor({ timeout: 30_000 })
}

describe('live page', () => {
  test('lists readings that change live, and asks no foreign host for anything', async () => {
    const { page, complaints } = await open()
    await ready(page)
    const figures = () => page.getByTestId('value').allTextContents()
    const before = await figures()
    expect(before.length).toBeGreaterThan(0)
    await expect.poll(async () => (await figures()).join(), { timeout: 30_000 }).not.toBe(before.join())
    await expect.poll(() => page.locator('.row .spark svg').count(), { timeout: 30_000 }).toBeGreaterThan(0)
    await expect.poll(() => page.title()).toContain('实时读数')
    expect(complaints).toEqual([])
  })

  test('filters by observed property and by text', async () => {
    const { page } = await open()
    await ready(page)
    const chip = page.locator('.chip[data-property]').first()
    const property = await chip.getAttribute('data-property')
    await chip.focus()
    await page.keyboard.press('Enter')
    expect(await chip.getAttribute('aria-pressed')).toBe('true')
    await expect.poll(() => rows(page).evaluateAll((r) => [...new Set(r.map((e) => (e as HTMLElement).dataset['property']))])).toEqual([property])
    await chip.click()
    const code = (await page.locator('.row .code').first().textContent())!.trim()
    await page.locator('input[type=search]').fill(code)
    await expect.poll(() => page.locator('.row .code').evaluateAll((r) => [...new Set(r.map((e) => e.textContent!.trim()))])).toEqual([code])
    await page.locator('input[type=search]').fill('no terminal is called this')
    await page.getByTestId('empty').waitFor()
    await page.getByTestId('empty').getByRole('button').click()
    await rows(page).first().waitFor()
  })

  test('sorts by each sortable column in both directions', async () => {
    const { page } = await open()
    await ready(page)
    for (const i of [0, 1, 2]) {
      const header = page.locator('[role=columnheader][aria-sort]').nth(i)
      const first = await header.getAttribute('aria-sort')
      await header.getByRole('button').click()
      const second = await header.getAttribute('aria-sort')
      await header.getByRole('button').click()
      expect([first, second, await header.getAttribute('aria-sort')]).toEqual(i === 0 ? ['ascending', 'descending', 'ascending'] : ['none', 'ascending', 'descending'])
    }
  })

  test('switches language and remembers it', async () => {
    const { page } = await open()
    await ready(page)
    expect(await page.locator('html').getAttribute('lang')).toBe('zh-CN')
    await page.getByRole('button', { name: 'English' }).click()
    await expect.poll(() => page.title()).toContain('Live readings')
    expect(await page.locator('html').getAttribute('lang')).toBe('en')
    expect(await page.locator('h1').textContent()).toBe('Live readings')
    await page.reload()
    await ready(page)
    expect(await page.locator('html').getAttribute('lang')).toBe('en')
  })

  test('says within 3 s that the connection is lost, and recovers', async () => {
    const { page } = await open()
    await ready(page)
    await wire.cut()
    const cut = Date.now()
    try {
      await page.getByTestId('lost').waitFor({ timeout: 3_000 })
      expect(Date.now() - cut).toBeLessThan(3_000)
      expect(await page.getByTestId('lost').textContent()).toContain('连接已断开')
      expect(await page.locator('[data-testid=connection]').textContent()).toMatch(/已断开|正在连接/)
      expect(await rows(page).count()).toBeGreaterThan(0)
      if (shots) await shoot(page, 'state-lost-1366x768-zh-light')
    } finally {
      await wire.mend()
    }
    await live(page)
    await page.getByTestId('lost').waitFor({ state: 'detached' })
  })

  test('works by keyboard alone', async () => {
    const { page } = await open()
    await ready(page)
    await page.keyboard.press('Tab') // the skip link comes first
    await page.keyboard.press('Enter')
    const grid = page.locator('[role=grid]')
    await expect.poll(() => grid.evaluate((g) => g === document.activeElement)).toBe(true)
    await page.keyboard.press('Home')
    const first = await grid.getAttribute('aria-activedescendant')
    await page.keyboard.press('ArrowDown')
    const second = await grid.getAttribute('aria-activedescendant')
    expect(second).not.toBe(first)
    await page.keyboard.press('End')
    await expect.poll(async () => page.locator(`#${await grid.getAttribute('aria-activedescendant')}`).isVisible()).toBe(true)
    await page.keyboard.press('Home')
    await page.keyboard.press('Enter')
    await page.getByTestId('card').waitFor()
    expect(await page.locator('.row[aria-selected=true]').count()).toBeGreaterThan(0)
    await page.keyboard.press('Escape')
    await page.getByTestId('card').waitFor({ state: 'detached' })
    const map = page.getByTestId('map')
    await map.focus()
    await page.keyboard.press('n')
    await page.getByTestId('card').waitFor()
    await page.keyboard.press('Enter')
    await page.getByTestId('only').waitFor()
    const codes = await page.locator('.row .code').allTextContents()
    expect(new Set(codes).size).toBe(1)
    await page.keyboard.press('Escape')
    await page.getByTestId('only').waitFor({ state: 'detached' })
  })

  test('subscribes to what the map shows', async () => {
    const { page } = await open()
    await ready(page)
    const sent: string[] = []
    page.on('websocket', (ws) => ws.on('framesent', (f) => sent.push(String(f.payload))))
    await page.reload()
    await ready(page)
    const total = Number(await page.locator('[role=grid]').getAttribute('aria-rowcount'))
    await page.getByTestId('map').focus()
    for (let i = 0; i < 4; i++) await page.keyboard.press('+')
    await page.getByTestId('subscribe').click()
    await expect.poll(() => sent.some((s) => s.includes('"bbox"'))).toBe(true)
    const bbox = (JSON.parse(sent.find((s) => s.includes('"bbox"'))!) as { filter: { bbox: number[] } }).filter.bbox
    expect(bbox[0]).toBeLessThan(bbox[2]!)
    expect(bbox[1]).toBeLessThan(bbox[3]!)
    const rowCount = async () => Number((await page.locator('[role=grid]').getAttribute('aria-rowcount', { timeout: 500 }).catch(() => '1')) ?? 1)
    await expect.poll(rowCount).toBeLessThan(total)
    const before = sent.length
    await page.getByTestId('map').focus()
    await page.keyboard.press('ArrowRight')
    await expect.poll(() => sent.slice(before).some((s) => s.includes('"bbox"'))).toBe(true)
    if (shots) await shoot(page, 'state-subscribed-1366x768-zh-light')
    await page.getByTestId('subscribe').click()
    await expect.poll(rowCount).toBe(total)
  })

  test('a click on the map shows that terminal only', async () => {
    const { page } = await open()
    await ready(page)
    await page.getByTestId('map').focus()
    await page.keyboard.press('n')
    await page.getByTestId('card').waitFor()
    await page.keyboard.press('Escape')
    // Look for a terminal as a hand with a mouse would: the pointer tells.
    const box = (await page.getByTestId('map').boundingBox())!
    let hit = false
    for (let y = 90; y < box.height - 20 && !hit; y += 12) {
      for (let x = 70; x < box.width - 70 && !hit; x += 12) {
        await page.mouse.move(box.x + x, box.y + y)
        hit = (await page.locator('canvas.pointing').count()) > 0
        if (hit) await page.mouse.click(box.x + x, box.y + y)
      }
    }
    expect(hit).toBe(true)
    await page.getByTestId('only').waitFor()
    expect(new Set(await page.locator('.row .code').allTextContents()).size).toBe(1)
  })

  test.each([
    ['light', 'zh-CN', 1366, 768],
    ['dark', 'en-GB', 1366, 768],
    ['light', 'en-GB', 390, 844],
    ['dark', 'zh-CN', 390, 844],
  ] as const)('axe finds nothing: %s %s %i×%i', async (colorScheme, locale, width, height) => {
    // The checker is injected past the policy; the page itself is tested under it everywhere else.
    const { page } = await open({ colorScheme, locale, viewport: { width, height }, bypassCSP: true, hasTouch: width < 600, reducedMotion: 'reduce' })
    await ready(page)
    await page.locator('.row').first().click()
    await page.getByTestId('card').waitFor()
    await page.addScriptTag({ content: await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8') })
    const violations = await page.evaluate(async () => {
      const axe = (window as unknown as { axe: { run(o: object): Promise<{ violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[] }> } }).axe
      const result = await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
      return result.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} ${n.failureSummary ?? ''}`).join(' | ')}`)
    })
    expect(violations).toEqual([])
  })

  test.each([
    [360, 740],
    [390, 844],
    [1366, 768],
    [1920, 1080],
    [3840, 2160],
  ])('nothing runs out of the window at %i×%i', async (width, height) => {
    const { page } = await open({ viewport: { width, height } })
    await ready(page)
    expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)).toBe(0)
  })
})

async function shoot(page: Page, name: string): Promise<void> {
  mkdirSync(shots!, { recursive: true })
  await page.screenshot({ path: join(shots!, `${name}.png`) })
}

describe.runIf(shots)('screenshots', () => {
  const sizes = [
    [1366, 768],
    [390, 844],
    [1920, 1080],
    [3840, 2160],
  ] as const
  test.each(sizes.flatMap(([w, h]) => (['zh-CN', 'en-GB'] as const).flatMap((l) => (['light', 'dark'] as const).map((c) => [w, h, l, c] as const))))('%i×%i %s %s', async (width, height, locale, colorScheme) => {
    const { page } = await open({ viewport: { width, height }, locale, colorScheme })
    await ready(page)
    await page.waitForTimeout(2500)
    const name = `${width}x${height}-${locale.slice(0, 2)}-${colorScheme}`
    await shoot(page, name)
    if (width < 600) {
      await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight))
      await page.waitForTimeout(300)
      await shoot(page, `${name}-map`)
    }
  })
})
