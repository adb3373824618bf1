// Somebody connects Stripe with a restricted key: what the key lacks is said in words, the endpoint is made at Stripe, codes and
// the last 30 days are read while the page is left, loaded again and the product started again, and nothing counts twice.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { after, before } from 'node:test'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AxeBuilder } from '@axe-core/playwright'
import Stripe from 'stripe'
import { figure, launch, openPage, signIn, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { CODES, deliver, paidInvoice } from './lib/stripe.mjs'
import { ALL_PERMISSIONS, StripeStandIn, coupon, promotionCode, refusal } from './lib/stripe_stand_in.mjs'

const KEY = 'rk_test_everythingThatIsNeeded0123456789'
const SMALL_KEY = 'rk_test_tooLittle0123456789'
const SHOTS = process.env.SHOTS || fileURLToPath(new URL('shots/', import.meta.url))
const DAY = 86_400
const now = Math.floor(Date.now() / 1000)

/** 260 sales of the last 28 days, with Anna's code, Ben's, or none; some of Anna's are partly credited back. */
const sales = Array.from({ length: 260 }, (_, index) => {
  const created = now - 600 - Math.floor((index * 28 * DAY) / 260)
  const code = ['ANNA20', 'BEN10', null][index % 3]
  return { code, ...paidInvoice({ code, price: 4_900 + index, off: 980, livemode: false, created }) }
})
const credits = sales.filter((sale) => sale.code === 'ANNA20').slice(0, 5).map((sale, index) => creditNote(sale, index))
const old = paidInvoice({ code: 'ANNA20', livemode: false, created: now - 40 * DAY })

let stripe, product, chromium, page, complaints, heard = '', endpointUrl, open = () => {}

function creditNote(sale, index) {
  const created = sale.event.created + 60
  const object = {
    id: `cn_1${index}`, object: 'credit_note', amount: 1_000, created, currency: 'usd', invoice: sale.invoice, livemode: false,
    post_payment_amount: 1_000, pre_payment_amount: 0, refunds: [], status: 'issued', type: 'post_payment',
  }
  return { ...sale.event, id: `evt_credit_${index}`, created, type: 'credit_note.created', data: { object } }
}

/** What the dashboard must come to, counted here: 20 % of what is left of each sale that has a code. */
function owed() {
  const credited = sales.filter((sale) => sale.code)
  const left = (sale) => sale.net - (credits.some((credit) => credit.data.object.invoice === sale.invoice) ? 1_000 : 0)
  const rounded = (minor) => Math.floor((minor * 20 + 50) / 100)
  return {
    redemptions: credited.length,
    revenue: sales.reduce((sum, sale) => sum + left(sale), 0),
    commission: credited.reduce((sum, sale) => sum + rounded(left(sale)), 0),
  }
}

const key = () => page.getByLabel('Key from Stripe')
const connect = () => page.getByRole('button', { name: 'Check the key and connect' }).click()
const reading = () => page.locator('.reading')
const eventPages = () => stripe.askedFor('GET /v1/events?limit=100').filter((each) => each.includes('types[]=checkout.session.completed'))

/** A page at both widths, light and dark: a picture, nothing too wide, nothing that axe finds. */
async function look(name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme })
    for (const width of [390, 1440]) {
      await page.setViewportSize({ width, height: 900 })
      await page.screenshot({ path: join(SHOTS, `${name}-${width}-${colorScheme}.png`), fullPage: true, animations: 'disabled' })
      const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      assert.ok(tooWide <= 0, `${name} at ${width} px is ${tooWide} px too wide`)
      const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
      assert.deepEqual(violations.map((each) => `${each.id}: ${each.nodes[0].target}`), [], `${name} ${width} ${colorScheme}`)
    }
  }
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize({ width: 1280, height: 800 })
}

before(async () => {
  mkdirSync(SHOTS, { recursive: true })
  stripe = await new StripeStandIn().start()
  stripe.keys.set(KEY, ALL_PERMISSIONS)
  stripe.keys.set(SMALL_KEY, ALL_PERMISSIONS.filter((name) => !['Events', 'Coupons', 'Webhook Endpoints'].includes(name)))
  stripe.lists.events = [...sales.map((sale) => sale.event), ...credits, old.event].sort((one, other) => other.created - one.created)
  stripe.lists.promotion_codes = [
    ...Object.entries(CODES).map(([code, { promotionCode: id, coupon: of }]) => promotionCode(id, code, of)),
    ...Array.from({ length: 130 }, (_, index) => promotionCode(`promo_other${index}`, `OTHER${index}`, 'OTHERS')),
  ]
  stripe.lists.coupons = [coupon('ANNA_20'), coupon('BEN_10'), coupon('OTHERS'), coupon('BLACK FRIDAY 20%')]
  product = new Product({ settings: { AFFILITRACK_WEB_STRIPE_API: stripe.base, AFFILITRACK_TELEMETRY_FILTER: 'debug' } })
  product.hears = (text) => (heard += text)
  await product.start()
  chromium = await launch()
  const context = await signIn(chromium.browser, product.openUrl)
  ;({ page, complaints } = await openPage(context, { expected: ['status of 422', 'ERR_', 'Failed to fetch'] }))
})

after(async () => {
  open()
  await chromium?.close()
  await product?.end()
  stripe?.end()
})

step('the page offers both ways and takes a key of its own mode only', async () => {
  const isThere = async () => (await page.goto(product.at('/demo/connections'))).ok()
  await until(isThere, Boolean, 'the demo workspace')
  await page.getByText('Or with a signing secret only').waitFor()
  await page.getByLabel('Workspace name').fill('Tiny Tools')
  await key().fill(KEY)
  await connect()
  assert.match(await words(page.locator('#restricted-error')), /This is a test key, and this page shows live data/)
  assert.ok(!(await page.content()).includes(KEY), 'the key is not sent back')
  await page.getByRole('link', { name: 'Change to test mode' }).click()
  await page.waitForURL(/mode=test/)
  assert.deepEqual(stripe.asked, [])
  await look('key-form')
})

step('what the key may not do is said in words, and nothing is written anywhere', async () => {
  await page.getByLabel('Workspace name').fill('Tiny Tools')
  await key().fill('rk_test_nobodyKnowsIt0123456789')
  await connect()
  assert.match(await words(page.locator('#restricted-error')), /Stripe does not know this key/)
  await key().fill(SMALL_KEY)
  await connect()
  const missing = page.locator('#key-missing')
  assert.match(await words(missing), /Nothing was changed, here or at Stripe/)
  assert.deepEqual(
    await missing.locator('li strong').allInnerTexts(),
    ['Events: Read', 'Coupons: Read', 'Webhook Endpoints: Write'],
  )
  assert.equal(stripe.endpoints.length, 0)
  assert.equal((await page.request.get(product.at('/tiny-tools/connections'))).status(), 404, 'no workspace was made')
  await look('key-missing')
})

step('an answer that is lost while the endpoint is made leaves one endpoint, not two', async () => {
  stripe.losesNextMade = true
  await page.getByLabel('Workspace name').fill('Tiny Tools')
  await key().fill(KEY)
  await connect()
  assert.match(await words(page.locator('#connect-key .notice-bad')), /Stripe could not be reached.*try again/i)
  assert.equal(stripe.losesNextMade, false)
  assert.equal(stripe.endpoints.length, 1)
})

step('the right key connects: the endpoint is made, pinned and sends what is needed', async () => {
  stripe.before = async (request, url) => {
    if (url.pathname !== '/v1/events' || !url.searchParams.has('starting_after')) return undefined
    // Once: slow down. Then: held until the test goes on.
    if (!stripe.hasLimited) return (stripe.hasLimited = true), refusal(429, 'Too many requests', { code: 'rate_limit' }, { 'retry-after': '1' })
    await new Promise((go) => (open = go))
    return undefined
  }
  // The workspace was opened by the try before.
  await page.goto(product.at('/tiny-tools/connections?mode=test'))
  await page.getByText('Add a restricted key').click()
  await key().fill(KEY)
  await connect()
  await page.waitForURL(/connected=key/)
  assert.match(await words(page.getByRole('status').first()), /Stripe is connected.*nothing left to do/)
  endpointUrl = await words(page.locator('.endpoint'))
  // As Stripe's own SDK reads it.
  const sdk = new Stripe(KEY, { host: '127.0.0.1', port: stripe.port, protocol: 'http' })
  const { data } = await sdk.webhookEndpoints.list()
  assert.equal(data.length, 1)
  assert.equal(data[0].url, endpointUrl)
  assert.equal(data[0].api_version, '2025-09-30.clover')
  assert.equal(data[0].enabled_events.length, 27)
  assert.match(await words(page.locator('.setup')), /Made by AffiliTrack/)
})

step('the bar shows how far reading has come; leaving, loading again and a restart in the middle go on from there', async () => {
  await until(() => words(reading()), (text) => /Reading the last 30 days: 100 events so far, back to/.test(text), 'reading')
  const percent = async () => Number(await reading().locator('progress').getAttribute('value'))
  const before = await percent()
  assert.ok(before > 8 && before < 85, `${before} %`)
  await look('key-reading')
  const codes = Object.entries(CODES).flatMap(([code, { affiliate, name }]) => [
    { decide: 'affiliate', key: affiliate, name },
    { decide: 'map', provider: 'stripe', code, affiliate },
  ])
  await product.decide('tiny-tools', [...codes, { decide: 'rule', scope: 'vendor', percent: '20', duration: 'life' }])
  await page.goto(product.at('/tiny-tools/dashboard?mode=test'))
  await page.goto(product.at('/tiny-tools/connections?mode=test'))
  assert.equal(await percent(), before)

  assert.equal(await product.interrupt(), 0)
  await product.start()
  await page.reload()
  assert.equal(await percent(), before, 'what was read is not read again')
})

step('the webhook brings some of the same events meanwhile', async () => {
  const secret = stripe.endpoints[0].secret
  for (const sale of sales.slice(40, 60).concat(sales.slice(200, 210))) assert.equal(await deliver(endpointUrl, secret, sale.event), 200)
})

step('codes and 30 days are there, to the cent, nothing twice', async () => {
  stripe.before = null
  open()
  const done = /Read 132 promotion codes, 4 coupons, and 265 events of the 30 days before/
  await until(() => words(reading()), (text) => done.test(text), 'the end of reading')
  assert.equal(await page.locator('.reading progress').count(), 0)
  const firstPages = eventPages().filter((each) => !each.includes('starting_after'))
  assert.equal(firstPages.length, 1, 'the restart went on after the first page')
  assert.ok(stripe.hasLimited)
  const expected = owed()
  await page.goto(product.at('/tiny-tools/dashboard?mode=test&range=30d'))
  await until(() => figure(page, 'figure-commission-usd'), (amount) => amount === expected.commission, 'commission')
  assert.equal(await figure(page, 'figure-redemptions-count'), expected.redemptions)
  assert.equal(await figure(page, 'figure-revenue-usd'), expected.revenue)
})

step('codes that nobody has can be given to somebody', async () => {
  await page.goto(product.at('/tiny-tools/affiliates?mode=test'))
  await page.getByRole('link', { name: 'Codes without an affiliate' }).click()
  await page.locator('.free-codes').waitFor()
  // Anna's and Ben's have an owner; a page holds fifty.
  assert.equal(await page.locator('.free-codes tbody tr').count(), 50)
  await page.getByRole('link', { name: 'Next page' }).click()
  await page.getByRole('link', { name: 'Next page' }).click()
  await page.getByText('BLACK FRIDAY 20%').waitFor()
  assert.equal(await page.locator('.free-codes tbody tr').count(), 31)
  await page.getByRole('searchbox', { name: 'Search', exact: true }).fill('other7')
  await page.getByRole('button', { name: 'Show' }).click()
  await until(() => page.locator('.free-codes tbody tr').count(), (count) => count === 11, 'codes that were found')
  await look('codes-free')
  await page.getByLabel('Handle of who gets OTHER77').fill('nobody')
  await page.locator('tr', { hasText: 'OTHER77' }).getByRole('button', { name: 'Give' }).click()
  assert.match(await words(page.getByRole('alert')), /OTHER77: There is no such affiliate/)
  await page.getByLabel('Handle of who gets OTHER77').fill('ben')
  await page.locator('tr', { hasText: 'OTHER77' }).getByRole('button', { name: 'Give' }).click()
  await page.waitForURL(/affiliates\/ben/)
  assert.match(await words(page.locator('main')), /OTHER77/)
  await page.goto(product.at('/tiny-tools/codes?mode=test&q=OTHER77'))
  assert.match(await words(page.locator('main')), /No such code is without an affiliate/)
})

step('only deliveries count as deliveries', async () => {
  await page.goto(product.at('/tiny-tools/connections?mode=test'))
  await until(() => words(page.locator('.facts').first()), (text) => /Deliveries in 24 hours 30 /.test(text), 'deliveries')
  await look('key-done')
})

step('the key once more changes nothing', async () => {
  await page.getByText('Add a restricted key').click()
  await key().fill(KEY)
  await connect()
  await page.waitForURL(/connected=key/)
  assert.equal(stripe.endpoints.length, 1)
  assert.equal(await page.locator('.connection').count(), 1)
  await until(() => words(reading()), (text) => /Read 132 promotion codes.* 265 events/.test(text), 'the end of reading')
})

step('why reading stopped is said in words, and a button tries again', async () => {
  stripe.keys.set(KEY, ALL_PERMISSIONS.filter((name) => name !== 'Events'))
  await page.getByRole('button', { name: 'Read the last 30 days again' }).click()
  await until(() => words(reading()), (text) => /may not read events\. Allow it at Stripe/.test(text), 'the reason')
  await look('key-failed')
  stripe.keys.set(KEY, ALL_PERMISSIONS)
  await page.getByRole('button', { name: 'Try again' }).click()
  await until(() => words(reading()), (text) => /265 events of the 30 days/.test(text), 'the end of reading')
  await page.goto(product.at('/tiny-tools/dashboard?mode=test&range=30d'))
  assert.equal(await figure(page, 'figure-commission-usd'), owed().commission)
  assert.equal(await figure(page, 'figure-redemptions-count'), owed().redemptions)
})

step('an endpoint that somebody removed at Stripe is made again', async () => {
  stripe.endpoints = []
  await page.goto(product.at('/tiny-tools/connections?mode=test'))
  await page.getByText('Add a restricted key').click()
  await key().fill(KEY)
  await connect()
  await page.waitForURL(/connected=key/)
  assert.equal(stripe.endpoints.length, 1)
  assert.equal(await deliver(endpointUrl, stripe.endpoints[0].secret, sales[0].event), 200, 'its secret is known')
})

step('the key is neither in what the product says nor readable in its files', async () => {
  const files = readdirSync(product.folder, { recursive: true }).map((name) => join(product.folder, String(name)))
  const holds = (file) => statSync(file).isFile() && readFileSync(file).includes(KEY)
  assert.deepEqual(files.filter(holds), [])
  assert.ok(heard.length > 1_000)
  for (const secret of [KEY, SMALL_KEY, stripe.endpoints[0].secret]) assert.ok(!heard.includes(secret), 'a secret in the log')
  assert.deepEqual(complaints, [])
})
