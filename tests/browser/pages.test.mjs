// Every page at three widths, in light and dark: accessible, nothing wider than the window, light to load,
// and readable without a script. The pictures go to shots/, to be looked at.

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AxeBuilder } from '@axe-core/playwright'
import { launch, openPage, signIn, until, waitForDemo, words } from './lib/browser.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_pagesTest0123456789'
const SHOTS = fileURLToPath(new URL('shots/', import.meta.url))
const WIDTHS = [390, 768, 1440]
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const COLOUR_RULES = ['color-contrast', 'link-in-text-block']
/** Bytes on the wire until the first page is complete. */
const FIRST_VIEW_BYTES = 100_000

const PAGES = {
  dashboard: '/demo/dashboard',
  'dashboard-mixed': '/acme/dashboard',
  'dashboard-today': '/demo/dashboard?range=today',
  'dashboard-empty-range': '/demo/dashboard?from=2020-01-01&to=2020-01-07',
  'dashboard-new': '/fresh/dashboard',
  redemptions: '/demo/redemptions',
  'redemptions-filtered': '/demo/redemptions?outcome=rejected&q=in_demo_5',
  'redemptions-none': '/demo/redemptions?q=nothing-like-it',
  'redemptions-new': '/fresh/redemptions',
  'explain-refunded': '/demo/purchases/inv%3Ain_demo_4',
  'explain-disputed': '/demo/purchases/inv%3Ain_demo_9',
  'explain-waiting': '/demo/purchases/inv%3Ain_demo_wait_0',
  'explain-organic': '/demo/purchases/pi%3Api_demo_once_1',
  affiliates: '/acme/affiliates',
  'affiliates-none': '/fresh/affiliates',
  'affiliate-new': '/demo/affiliates/new',
  affiliate: '/demo/affiliates/leo',
  'affiliates-import': '/acme/affiliates/import',
  rules: '/demo/rules',
  connections: '/acme/connections',
  'connections-demo': '/demo/connections',
  'connections-new': '/fresh/connections?connected=stripe',
  workspace: '/acme/settings',
  'error-404': '/nothing',
}

let product, chromium, session

before(async () => {
  mkdirSync(SHOTS, { recursive: true })
  product = await new Product().start()
  chromium = await launch()
  const context = await signIn(chromium.browser, product.openUrl)
  const { page } = await openPage(context)
  await page.goto(product.at('/demo/dashboard'))
  await waitForDemo(page)
  await product.connect('fresh', 'whsec_fresh0123456789')
  await fillAcme()
  await page.goto(product.at('/acme/dashboard?mode=live'))
  await until(() => words(page.locator('.outcomes')), (text) => /5 credited 1 organic/.test(text), 'purchases of acme')
  session = await context.storageState()
  await context.close()
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

/** Several currencies, one without digits and one that nobody knows; both modes; a refused delivery. */
async function fillAcme() {
  const endpointUrl = await product.connect('acme', SECRET)
  await product.decide('acme', decisions())
  const sales = [
    { code: 'ANNA20', price: 123_456_700, off: 24_691_340 },
    { code: 'BEN10', currency: 'eur' },
    { code: 'ANNA20', currency: 'jpy', price: 14_900, off: 2_980 },
    { code: 'ANNA20', currency: 'zzz' },
    { code: 'BEN10', price: 1_999, off: 333 },
    { code: null },
    { code: 'BEN10', livemode: false },
  ]
  for (const sale of sales) assert.equal(await deliver(endpointUrl, SECRET, paidInvoice(sale).event), 200)
  assert.equal(await deliver(endpointUrl, 'whsec_somebodyElse0123', paidInvoice().event), 400)
}

/** What axe finds. In the dark only the colours differ, so only what looks at colours is asked again. */
async function findings(page, colorScheme, part) {
  // There are no frames, so the slower way of joining their results is not needed.
  const axe = new AxeBuilder({ page }).setLegacyMode().include(part)
  const { violations } = await (colorScheme === 'dark' ? axe.withRules(COLOUR_RULES) : axe.withTags(RULES)).analyze()
  return violations.map((each) => `${each.id}: ${each.help}: ${each.nodes.slice(0, 3).map((node) => node.target.join(' ')).join(', ')}`)
}

/** Lets pictures be the same each time: nothing moves, and the chart is drawn. */
async function settle(page) {
  await page.waitForLoadState('load')
  if (await page.locator('#chart:not([hidden])').count()) await page.locator('#chart canvas').waitFor()
  await page.waitForTimeout(150)
}

async function checkPage(page, view, width, colorScheme, part = 'html') {
  const name = `${view}-${width}-${colorScheme}`
  await settle(page)
  await page.screenshot({ path: `${SHOTS}${name}.png`, fullPage: true, animations: 'disabled' })
  const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.ok(tooWide <= 0, `${name} is ${tooWide} px wider than the window`)
  assert.deepEqual(await findings(page, colorScheme, part), [], name)
}

for (const colorScheme of ['light', 'dark']) {
  for (const width of WIDTHS) {
    test(`every page at ${width} px, ${colorScheme}`, async () => {
      const context = await chromium.browser.newContext({ storageState: session, colorScheme, viewport: { width, height: 900 } })
      const { page, complaints } = await openPage(context, { expected: ['status of 404', 'status of 422'] })
      for (const [name, path] of Object.entries(PAGES)) {
        await page.goto(product.at(path))
        await checkPage(page, name, width, colorScheme)
      }
      await page.goto(product.at('/demo/connections'))
      await page.getByLabel('Name of your workspace').fill(' ')
      await page.getByLabel('Signing secret').fill('sk_live_1')
      await page.getByRole('button', { name: 'Connect Stripe' }).click()
      await page.locator('.error').first().waitFor()
      await checkPage(page, 'connections-errors', width, colorScheme)
      assert.deepEqual(complaints, [])
      await context.close()

      const stranger = await chromium.browser.newContext({ colorScheme, viewport: { width, height: 900 } })
      const { page: strange } = await openPage(stranger)
      await strange.goto(product.at('/demo/dashboard'))
      await checkPage(strange, 'error-401', width, colorScheme)
      await stranger.close()
    })
  }
}

test('open menus are accessible too', async () => {
  const context = await chromium.browser.newContext({ storageState: session, viewport: { width: 390, height: 900 } })
  const { page, complaints } = await openPage(context)
  await page.goto(product.at('/demo/dashboard'))
  // What a menu covers cannot be reached meanwhile, so only the menu itself is looked at.
  for (const [name, part] of [['menu-vendors', '.vendor-switch'], ['menu-dates', '.range-free'], ['chart-table', '#chart-data']]) {
    await page.locator(`${part} summary`).click()
    await checkPage(page, name, 390, 'light', part)
    await page.locator(`${part} summary`).click()
  }
  assert.deepEqual(complaints, [])
  await context.close()
})

test('the first view takes less than 100 KB on the wire, and nothing comes from elsewhere', async () => {
  const context = await chromium.browser.newContext({ storageState: session, viewport: { width: 1440, height: 900 } })
  const { page } = await openPage(context)
  const network = await context.newCDPSession(page)
  await network.send('Network.enable')
  const addresses = new Map()
  const loaded = []
  network.on('Network.requestWillBeSent', ({ requestId, request }) => addresses.set(requestId, request.url))
  network.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => loaded.push([addresses.get(requestId), encodedDataLength]))
  await page.goto(product.at('/demo/dashboard'))
  await settle(page)
  const bytes = loaded.reduce((sum, [, length]) => sum + length, 0)
  assert.ok(loaded.length >= 4, 'page, style and two scripts')
  assert.ok(bytes < FIRST_VIEW_BYTES, `${bytes} bytes: ${JSON.stringify(loaded)}`)
  // The icon of the date field is Chromium's own.
  const fetched = [...addresses.values()].filter((address) => !address.startsWith('data:'))
  for (const address of fetched) assert.equal(new URL(address).origin, product.at(''), address)
  const shift = await page.evaluate(() => performance.getEntriesByType('layout-shift').reduce((sum, each) => sum + each.value, 0))
  assert.ok(shift < 0.02, `layout shift ${shift}`)
  await context.close()
})

test('without a script everything can be read, searched and sent', async () => {
  const context = await chromium.browser.newContext({ storageState: session, javaScriptEnabled: false, viewport: { width: 1440, height: 900 } })
  const { page } = await openPage(context)
  await page.goto(product.at('/demo/dashboard'))
  assert.match(await words(page.locator('#figure-redemptions-count')), /^47/)
  assert.equal(await page.locator('#chart').isVisible(), false)
  await page.locator('#chart-data summary').click()
  assert.equal(await page.locator('#chart-table tbody tr').count(), 60)
  await page.screenshot({ path: `${SHOTS}dashboard-without-script.png`, fullPage: true })

  await page.locator('.vendor-switch summary').click()
  assert.equal(await page.locator('.vendor-switch').getByRole('link', { name: 'acme' }).isVisible(), true)
  await page.locator('.vendor-switch summary').click()
  await page.getByRole('link', { name: 'Redemptions' }).click()
  await page.getByLabel('Outcome').selectOption('waiting')
  await page.getByRole('button', { name: 'Show' }).click()
  await page.waitForURL(/outcome=waiting/)
  assert.equal(await page.locator('#explorer-rows tr').count(), 2)
  await page.locator('#explorer-rows a').first().click()
  assert.match(await words(page.locator('.headline')), /Not decided yet/)

  await page.goto(product.at('/demo/connections'))
  await page.getByLabel('Name of your workspace').fill('No Script')
  await page.getByLabel('Signing secret').fill('whsec_noScript0123456789')
  await page.getByRole('button', { name: 'Connect Stripe' }).click()
  await page.waitForURL(/\/no-script\/connections/)
  await context.close()
})

test('who prefers less motion gets none', async () => {
  const context = await chromium.browser.newContext({ storageState: session, reducedMotion: 'reduce' })
  const { page } = await openPage(context)
  await page.goto(product.at('/demo/dashboard'))
  await until(() => words(page.locator('#live-text')), (text) => text === 'Live', 'live stream')
  const seconds = await page.locator('.live-dot .dot').evaluate((dot) => getComputedStyle(dot).animationDuration)
  assert.equal(seconds, '0.001s')
  await context.close()
})
