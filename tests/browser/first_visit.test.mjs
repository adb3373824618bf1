// Somebody opens the printed address for the first time.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { figure, launch, minor, openPage, signIn, until, waitForDemo, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'

let product, chromium, context, page, complaints

before(async () => {
  product = await new Product().start()
  chromium = await launch()
  context = await chromium.browser.newContext({ viewport: { width: 1440, height: 900 } })
  ;({ page, complaints } = await openPage(context))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

step('the printed address leads to the demo dashboard, which fills up by itself', async () => {
  const answer = await page.goto(product.openUrl)
  assert.equal(answer.status(), 200)
  assert.equal(page.url(), product.at('/demo/dashboard'))
  assert.match(await words(page.locator('.banner')), /Demo data/)
  await waitForDemo(page)
})

step('the first screen has key figures, chart, tables, feed and the four outcome counts', async () => {
  assert.equal(await figure(page, 'figure-redemptions-count'), 47)
  const labels = await page.locator('.figure h2').allInnerTexts()
  assert.deepEqual(labels, ['Redemptions', 'Sales', 'Revenue', 'Commission', 'Refunds', 'Active affiliates'])
  assert.match(await words(page.locator('#figure-revenue-usd')), /^[\d,]+\.\d\d USD/)

  const affiliates = page.locator('section[aria-labelledby="affiliates-title"] tbody tr')
  const names = await affiliates.locator('th a').allInnerTexts()
  assert.deepEqual(names.sort(), ['Ines Okafor', 'Leo Brandt', 'Maya Torres'])
  const redemptions = await affiliates.locator('td[data-label="Redemptions"]').allInnerTexts()
  assert.equal(redemptions.map(minor).reduce((sum, each) => sum + each, 0), 47)

  const counts = await words(page.locator('.outcomes'))
  assert.match(counts, /^All purchases \d+ credited 16 organic 1 rejected 2 waiting$/)
  assert.ok((await page.locator('#feed li').count()) >= 10)
})

step('the chart is drawn from a table whose bars sum up to the figure', async () => {
  await page.locator('#chart canvas').waitFor()
  const bars = await page.locator('#chart-table td:nth-child(2)').evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.raw)))
  assert.equal(bars.length, 60)
  assert.equal(bars.reduce((sum, each) => sum + each, 0), 47)
  await page.locator('#chart').focus()
  await page.keyboard.press('ArrowLeft')
  assert.match(await page.locator('#chart').getAttribute('aria-valuetext'), /redemption/i)
  await page.locator('#chart-controls').getByText('Revenue').click()
  await page.locator('#chart').hover({ position: { x: 400, y: 100 } })
  await until(() => page.locator('.chart-tip').innerText(), (text) => /USD/.test(text), 'revenue under the pointer')
})

step('everything that matters is above the fold of a small laptop', async () => {
  await page.setViewportSize({ width: 1280, height: 800 })
  for (const selector of ['.figures', '.outcomes', '#chart', '#feed']) {
    const box = await page.locator(selector).boundingBox()
    assert.ok(box.y + box.height <= 800, `${selector} ends at ${box.y + box.height}`)
  }
  await page.setViewportSize({ width: 1440, height: 900 })
})

step('a range can be chosen, and the back button undoes it', async () => {
  await page.locator('.range-picker').getByText('7 days', { exact: true }).click()
  await page.waitForURL(/range=7d/)
  assert.ok((await figure(page, 'figure-redemptions-count')) < 47)
  await page.goBack()
  await until(() => figure(page, 'figure-redemptions-count'), (count) => count === 47, 'redemptions after going back')
  assert.equal(await words(page.locator('.range-picker [aria-current]')), '60 days')
})

step('the one-time address does not open a second browser', async () => {
  const other = await chromium.browser.newContext()
  const answer = await (await other.newPage()).goto(product.openUrl)
  assert.equal(answer.status(), 410)
  assert.match(await words(other.pages()[0].locator('main')), /has been used or is too old.*affilitrack login/)
  assert.deepEqual(await other.cookies(), [])
  await other.close()
})

step('`affilitrack login` lets the second browser in', async () => {
  const other = await signIn(chromium.browser, await product.login())
  const { page: second } = await openPage(other)
  assert.equal((await second.goto(product.at('/'))).status(), 200)
  const [cookie] = await other.cookies()
  assert.equal(cookie.httpOnly, true)
  assert.equal(cookie.sameSite, 'Lax')
  await other.close()
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
