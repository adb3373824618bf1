// Somebody asks why an affiliate gets what they get.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { launch, minor, openPage, signIn, waitForDemo, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'

let product, chromium, page, complaints

before(async () => {
  product = await new Product().start()
  chromium = await launch()
  const context = await signIn(chromium.browser, product.openUrl)
  ;({ page, complaints } = await openPage(context))
  await page.goto(product.at('/demo/dashboard'))
  await waitForDemo(page)
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

/** Label -> minor units of the waterfall. */
async function readWaterfall() {
  const rows = await page.locator('.waterfall tbody tr').evaluateAll((list) =>
    list.map((row) => [row.querySelector('th').innerText, row.querySelector('.amount').innerText]))
  return Object.fromEntries(rows.map(([label, amount]) => [label, minor(amount)]))
}

/** Sum of a column of the ledger lines, and the sum that the page states. */
async function readLines(label) {
  const lines = page.locator('section[aria-labelledby="lines-title"]')
  const amounts = await lines.locator(`tbody [data-label="${label}"] .amount`).allInnerTexts()
  const stated = await lines.locator(`tfoot [data-label="${label}"] .amount`).innerText()
  return { sum: amounts.map(minor).reduce((sum, each) => sum + each, 0), stated: minor(stated), count: amounts.length }
}

const open = (key) => page.goto(product.at(`/demo/purchases/${encodeURIComponent(key)}`))
const reasons = () => words(page.locator('.reasons'))

step('every redemption of the feed leads to its explanation', async () => {
  await page.locator('#feed [data-purchase="inv:in_demo_46"] a').click()
  await page.waitForURL(/purchases\/inv/)
  assert.match(await words(page.locator('.headline')), /^Ines Okafor earns [\d.]+ (USD|EUR) for code INES10 Credited/)
})

step('a refunded redemption shows every step from gross to commission', async () => {
  await open('inv:in_demo_4')
  const waterfall = await readWaterfall()
  assert.equal(waterfall.Subtotal + waterfall.Discount, waterfall.Gross)
  assert.equal(waterfall['Net: the commission base'], waterfall.Gross)
  assert.ok(waterfall.Refund < 0)
  assert.equal(waterfall['Net after refunds'], waterfall['Net: the commission base'] + waterfall.Refund)
  const bars = await page.locator('.waterfall svg rect').evaluateAll((list) => list.map((bar) => bar.getBoundingClientRect().width))
  assert.ok(bars[0] > 50)
})

step('discount, mapping, rule and rounding are told in words', async () => {
  await open('inv:in_demo_0')
  const text = await reasons()
  assert.match(text, /Discount MAYA20 \(took off \d+\.\d\d USD\) belongs to Maya Torres\. Credited to Maya Torres through the code\./)
  assert.match(text, /Mapping Decision \d+: MAYA20 belongs to Maya Torres, always\./)
  assert.match(text, /Rule Rule \d+: 20 % of net revenue, for every payment\./)
  assert.match(text, /Rounding Commission: \d+\.\d\d USD net × 20 % = \d+\.\d+ USD/)
  assert.ok(!text.includes('minor units'))
})

step('the rounding step is the commission of the waterfall', async () => {
  const [, net, exact] = (await reasons()).match(/Commission: (\d+\.\d\d) USD net × 20 % = (\d+\.\d+) USD/)
  const waterfall = await readWaterfall()
  assert.equal(minor(net), waterfall['Net after refunds'] ?? waterfall['Net: the commission base'])
  assert.equal(Math.floor(Number(exact) * 100 + 0.5), waterfall.Commission)
})

step('the events that made it are listed with what they did', async () => {
  await open('inv:in_demo_4')
  const events = page.locator('section[aria-labelledby="events-title"] tbody tr')
  const types = await events.locator('th').allInnerTexts()
  assert.ok(types.some((text) => text.startsWith('invoice.paid')), types.join())
  assert.ok(types.some((text) => text.startsWith('refund.created')), types.join())
  assert.ok((await events.locator('[data-label="What it did"]').allInnerTexts()).every((text) => text !== ''))
})

step('the lines sum up to the figures', async () => {
  const waterfall = await readWaterfall()
  for (const label of ['Gross', 'Revenue', 'Commission']) {
    const { sum, stated, count } = await readLines(label)
    assert.ok(count >= 2)
    assert.equal(sum, stated, label)
  }
  assert.equal((await readLines('Commission')).stated, waterfall.Commission)
  assert.equal((await readLines('Revenue')).stated, waterfall['Net after refunds'])
  assert.match(await words(page.locator('section[aria-labelledby="lines-title"]')), /Ines Okafor ines · INES10/)
})

step('what was rejected, waits, or is organic says why', async () => {
  for (const [key, headline] of [
    ['inv:in_demo_5', /^No commission is paid: bought their own subscription Rejected/],
    ['inv:in_demo_9', /^Maya Torres earns nothing for code MAYA20, because the payment was taken back Credited/],
    ['inv:in_demo_wait_0', /^Not decided yet: waiting for the provider to say which code it was Waiting/],
    ['pi:pi_demo_once_1', /^Nobody brought this purchase, so nobody is paid for it Organic/],
  ]) {
    assert.equal((await open(key)).status(), 200)
    assert.match(await words(page.locator('.headline')), headline)
  }
  assert.equal((await readLines('Commission')).stated, 0)
})

step('the command line says the same', async () => {
  const printed = await product.command(['explain', 'inv:in_demo_0', '--vendor', 'demo', '--json'])
  await open('inv:in_demo_0')
  const explanation = JSON.parse(printed)
  assert.equal(explanation.purchase.commission, (await readWaterfall()).Commission)
  for (const sentence of [...explanation.attribution, explanation.mapping, explanation.rule, ...explanation.rounding]) {
    assert.ok((await reasons()).includes(sentence), sentence)
  }
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
