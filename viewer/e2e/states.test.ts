// States of the page that a hub in good order does not show, and a flood. They
// need the fixture and are skipped where BASE_URL names a hub.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { launch } from './browser'
import { startHub, TOKEN, type FixtureHub } from './fixture/hub.mjs'

const shots = process.env['SHOTS']

describe.skipIf(process.env['HUB_URL'])('states', () => {
  let browser: Browser
  let hub: FixtureHub | undefined
  beforeAll(async () => {
    browser = await launch()
  })
  afterEach(async () => {
    for (const c of browser.contexts()) await c.close()
    await hub?.close()
    hub = undefined
  })
  afterAll(async () => {
    await browser?.close()
  })

  async function open(options: Parameters<typeof startHub>[0], path = '/', context: BrowserContextOptions = {}): Promise<Page> {
    hub = await startHub(options)
    const c = await browser.newContext({ locale: 'zh-CN', timezoneId: 'Asia/Shanghai', viewport: { width: 1366, height: 768 }, ...context })
    const page = await c.newPage()
    await page.goto(hub.url + path)
    return page
  }
  const live = (page: Page) => page.locator('[data-testid=connection][data-state=live]').waitFor({ timeout: 30_000 })
  async function shoot(page: Page, name: string): Promise<void> {
    if (!shots) return
    mkdirSync(shots, { recursive: true })
    await page.screenshot({ path: join(shots, `${name}.png`) })
  }

  test('a hub without data says how to publish, with a command to copy', async () => {
    const page = await open({ terminals: 0 }, '/', { permissions: ['clipboard-read', 'clipboard-write'] })
    const empty = page.getByTestId('empty')
    await empty.waitFor()
    await empty.getByRole('button', { name: '复制命令' }).click()
    await empty.getByRole('button', { name: '已复制' }).waitFor()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await empty.locator('code').textContent())
    expect(await empty.locator('code').textContent()).toMatch(/^mosquitto_pub -h 127\.0\.0\.1 /)
    await shoot(page, 'state-empty')
  })

  test('while the snapshot is on its way the page says that it loads', async () => {
    const page = await open({ snapshotDelayMs: 1500 })
    await page.getByTestId('loading').waitFor()
    await shoot(page, 'state-loading')
    await live(page)
    await page.getByTestId('loading').waitFor({ state: 'detached' })
  })

  test('a refusal is said in words and not tried again until asked', async () => {
    const page = await open({ refuse: 4003 })
    await page.getByTestId('refused').waitFor()
    expect(await page.getByTestId('refused').textContent()).toContain('当前身份无权查看')
    expect(await page.getByTestId('loading').textContent()).toContain('尚未取得读数')
    await shoot(page, 'state-refused')
    await page.getByTestId('refused').getByRole('button').click()
    await page.getByTestId('refused').waitFor()
  })

  test('the token link signs in, leaves no token in the address, and signs out', async () => {
    const page = await open({}, `/#token=${TOKEN}`)
    await page.getByTestId('session').waitFor()
    expect(page.url()).not.toContain(TOKEN)
    expect(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie]))).not.toContain(TOKEN)
    await live(page)
    await page.locator('.row').first().click()
    await page.getByTestId('card').waitFor()
    await page.waitForTimeout(1200)
    await shoot(page, 'state-operator-selected')
    await page.getByTestId('session').getByRole('button').click()
    await page.getByTestId('session').waitFor({ state: 'detached' })
    await live(page)
    expect(hub!.requests.some((r) => r.startsWith('DELETE /api/v1/session'))).toBe(true)
    expect(hub!.requests.join()).not.toContain(TOKEN)
  })

  test('a wrong token is said, and the public page works', async () => {
    const page = await open({}, '/#token=wrong')
    await page.getByTestId('problem').waitFor()
    expect(page.url()).not.toContain('wrong')
    await live(page)
    await page.getByTestId('problem').getByRole('button').click()
    await page.getByTestId('problem').waitFor({ state: 'detached' })
  })

  test('simulated readings say so, above and on every row, and stale ones look it', async () => {
    const page = await open({ terminals: 40 })
    await live(page)
    expect(await page.getByTestId('simulated').textContent()).toContain('模拟')
    const search = page.locator('input[type=search]')
    await search.fill('gusu-level')
    await expect.poll(() => page.locator('.row').count()).toBeGreaterThan(0)
    await expect.poll(() => page.locator('.row .badge').count()).toBe(0)
    expect(await page.getByTestId('simulated').count()).toBe(0)
    await search.fill('gusu-air')
    await page.locator('.row .badge').first().waitFor()
    expect(await page.locator('.row .badge').count()).toBe(await page.locator('.row').count())
    await search.fill('')
    await page.locator('.row.stale').or(page.locator('.row.none')).first().waitFor({ state: 'attached', timeout: 500 }).catch(() => undefined)
    await page.locator('[role=columnheader].age button').click()
    await page.locator('[role=columnheader].age button').click() // oldest first
    await page.locator('.row.stale').first().waitFor()
    expect(await page.locator('.row.stale').first().locator('.late').textContent()).toBe('迟滞')
    await page.waitForTimeout(800)
    await shoot(page, 'state-stale')
  })

  test('history is asked for once for each visible row, and not for the others', async () => {
    const page = await open({ terminals: 400 })
    await live(page)
    await page.waitForTimeout(2500)
    const asked = hub!.requests.filter((r) => r.includes('/Observations'))
    expect(asked.length).toBeGreaterThan(5)
    expect(asked.length).toBeLessThan(40)
    expect(new Set(asked).size).toBe(asked.length)
    expect(asked[0]).toMatch(/^GET \/sta\/v1\.1\/Datastreams\(\d+\)\/Observations\?\$top=60&\$orderby=phenomenonTime%20desc&\$select=phenomenonTime,result$/)
  })

  test('the chips subscribe by observed property', async () => {
    const page = await open({})
    await live(page)
    await page.locator('.chip[data-property=pm25]').click()
    await page.locator('.chip[data-property=o3]').click()
    await expect.poll(() => hub!.subscribes.at(-1)).toEqual({ observedProperties: ['o3', 'pm25'] })
    await page.locator('.chip').first().click()
    await expect.poll(() => hub!.subscribes.at(-1)).toEqual({})
  })

  test('5,000 readings a second on 2,000 terminals leave the page at hand', async () => {
    const page = await open({ terminals: 2000, rate: 5000 })
    await live(page)
    await page.waitForTimeout(2000)
    const measured = await page.evaluate(
      () =>
        new Promise<{ frames: number; worst: number; elements: number }>((ok) => {
          let frames = 0
          let worst = 0
          let last = performance.now()
          const count = () => {
            frames++
            requestAnimationFrame(count)
          }
          requestAnimationFrame(count)
          const beat = setInterval(() => {
            worst = Math.max(worst, performance.now() - last - 20)
            last = performance.now()
          }, 20)
          setTimeout(() => {
            clearInterval(beat)
            ok({ frames: frames / 5, worst, elements: document.querySelectorAll('.row').length })
          }, 5000)
        }),
    )
    console.log(`flood: ${measured.frames.toFixed(0)} frames/s, longest block ${measured.worst.toFixed(0)} ms, ${measured.elements} rows drawn`)
    expect(measured.elements).toBeLessThan(60)
    expect(measured.frames).toBeGreaterThan(5)
    expect(measured.worst).toBeLessThan(1500)
    const rate = Number((await page.locator('.rate').textContent())!.replace(/[^\d]/g, ''))
    expect(rate).toBeGreaterThan(4000)
    await shoot(page, 'state-flood')
  })
})
