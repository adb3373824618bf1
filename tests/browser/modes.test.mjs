// Test and live purchases of one account never meet.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { figure, launch, openPage, signIn, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_modesTest0123456789'

let product, chromium, page, complaints, endpointUrl

before(async () => {
  product = await new Product({ demo: false }).start()
  chromium = await launch()
  endpointUrl = await product.connect('acme', SECRET)
  await product.decide('acme', decisions())
  const context = await signIn(chromium.browser, product.openUrl)
  ;({ page, complaints } = await openPage(context))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

const modeMark = () => words(page.locator('.top-marks').locator('.mark-mode, [aria-current]'))
const send = async (sale) => {
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  return sale
}

step('while there are only test purchases, they are shown and marked', async () => {
  await send(paidInvoice({ livemode: false, price: 10_000, off: 2_000 }))
  await until(async () => {
    await page.goto(product.at('/acme/dashboard'))
    return words(page.locator('.outcomes'))
  }, (text) => /1 credited/.test(text), 'the test purchase')
  assert.match(page.url(), /\/acme\/dashboard/)
  assert.match(await modeMark(), /Test mode/)
  await until(() => figure(page, 'figure-revenue-usd'), (amount) => amount === 8_000, 'revenue in test mode')
})

step('a live purchase does not move the open test page', async () => {
  const live = await send(paidInvoice({ livemode: true, price: 4_900, off: 980 }))
  const other = await send(paidInvoice({ livemode: false, price: 1_000, off: 200 }))
  await page.locator(`#feed [data-purchase="${other.key}"]`).waitFor()
  await until(() => figure(page, 'figure-revenue-usd'), (amount) => amount === 8_800, 'revenue in test mode')
  assert.equal(await page.locator(`[data-purchase="${live.key}"]`).count(), 0)
  assert.equal(await figure(page, 'figure-redemptions-count'), 2)
})

step('live mode shows the live purchase alone, and is what one sees first from now on', async () => {
  // Another process than the one of the open page may answer, a moment behind it.
  await until(async () => {
    await page.goto(product.at('/acme/dashboard'))
    return modeMark()
  }, (text) => /Live mode/.test(text), 'live mode')
  await until(() => figure(page, 'figure-revenue-usd'), (amount) => amount === 3_920, 'revenue in live mode')
  assert.equal(await figure(page, 'figure-commission-usd'), 784)
  assert.equal(await figure(page, 'figure-redemptions-count'), 1)
  assert.match(await words(page.locator('.outcomes')), /1 credited 0 organic/)
})

step('the switch keeps the page and changes the mode', async () => {
  await page.getByRole('navigation', { name: 'Test or live' }).getByText('Test mode').click()
  await page.waitForURL(/mode=test/)
  await until(() => figure(page, 'figure-revenue-usd'), (amount) => amount === 8_800, 'revenue in test mode')
  await page.getByRole('link', { name: 'Redemptions' }).click()
  await page.waitForURL(/\/acme\/redemptions\?mode=test/)
  assert.equal(await page.locator('#explorer-rows tr').count(), 2)
  await page.getByRole('navigation', { name: 'Test or live' }).getByText('Live mode').click()
  await page.waitForURL(/\/acme\/redemptions\?mode=live/)
  assert.equal(await page.locator('#explorer-rows tr').count(), 1)
})

step('a purchase has no page in the other mode', async () => {
  const href = await page.locator('#explorer-rows a').getAttribute('href')
  assert.equal((await page.context().request.get(product.at(href))).status(), 200)
  assert.equal((await page.context().request.get(product.at(href.replace('mode=live', 'mode=test')))).status(), 404)
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
