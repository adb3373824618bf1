// Somebody looks for particular purchases of the demo.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { launch, openPage, signIn, until, waitForDemo, words } from './lib/browser.mjs'
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

const rows = () => page.locator('#explorer-rows tr')
const column = (label) => page.locator(`#explorer-rows [data-label="${label}"]`).allInnerTexts()
const parameters = () => Object.fromEntries(new URL(page.url()).searchParams)

/** Waits until the address has exactly these filters. */
async function untilFiltered(expected) {
  await until(
    async () => JSON.stringify(parameters()),
    (text) => text === JSON.stringify({ mode: 'live', ...expected }),
    `address with ${JSON.stringify(expected)}`,
  )
}

step('the newest fifty purchases are shown first', async () => {
  await page.getByRole('link', { name: 'Redemptions' }).click()
  await page.waitForURL(/\/demo\/redemptions/)
  assert.equal(await rows().count(), 50)
  const times = await rows().locator('time').evaluateAll((list) => list.map((time) => time.dateTime))
  assert.deepEqual(times, [...times].sort().reverse())
})

step('pages together hold every purchase once', async () => {
  const keys = () => rows().evaluateAll((list) => list.map((row) => row.dataset.purchase))
  const all = await keys()
  await page.getByRole('link', { name: 'Older' }).click()
  await page.waitForURL(/cursor=/)
  all.push(...(await keys()))
  assert.equal(all.length, 89)
  assert.equal(new Set(all).size, 89)
  assert.equal(await page.getByRole('link', { name: 'Older' }).count(), 0)
  await page.getByRole('link', { name: 'Newest' }).click()
  await until(() => rows().count(), (count) => count === 50, 'rows of the first page')
})

step('an outcome filters at once and stands in the address', async () => {
  await page.getByLabel('Outcome').selectOption('waiting')
  await untilFiltered({ outcome: 'waiting' })
  await until(() => rows().count(), (count) => count === 2, 'waiting purchases')
  assert.ok((await column('Outcome')).every((text) => text.startsWith('Waiting')))
})

step('affiliate and code filter as well, and combine', async () => {
  await page.getByLabel('Outcome').selectOption('credited')
  await untilFiltered({ outcome: 'credited' })
  await page.getByLabel('Affiliate').fill('ines')
  await page.getByLabel('Affiliate').press('Enter')
  await untilFiltered({ affiliate: 'ines', outcome: 'credited' })
  await until(() => rows().count(), (count) => count === 12, 'purchases of Ines')
  assert.ok((await column('Affiliate and code')).every((text) => text.startsWith('Ines Okafor')))
  await page.getByLabel('Code', { exact: true }).fill('MAYA20')
  await page.getByLabel('Code', { exact: true }).press('Enter')
  await untilFiltered({ affiliate: 'ines', code: 'MAYA20', outcome: 'credited' })
  await page.getByText('No purchase matches these filters').waitFor()
})

step('the back button brings each earlier view back, form included', async () => {
  await page.goBack()
  await untilFiltered({ affiliate: 'ines', outcome: 'credited' })
  await until(() => rows().count(), (count) => count === 12, 'purchases of Ines')
  assert.equal(await page.getByLabel('Affiliate').inputValue(), 'ines')
  assert.equal(await page.getByLabel('Code', { exact: true }).inputValue(), '')
  await page.goBack()
  await untilFiltered({ outcome: 'credited' })
  await until(() => page.getByLabel('Affiliate').inputValue(), (text) => text === '', 'the affiliate of the earlier view')
  await until(() => rows().count(), (count) => count === 50, 'the first page of credited purchases')
})

step('first sales with a code only are the 47 redemptions', async () => {
  await page.goto(product.at('/demo/redemptions?mode=live&only=redemptions'))
  assert.equal(await rows().count(), 47)
})

step('the address of a view opens the same view', async () => {
  await page.goto(product.at('/demo/redemptions?mode=live&code=LEO15&currency=EUR'))
  const count = await rows().count()
  assert.ok(count >= 1)
  assert.ok((await column('Commission')).every((text) => text.endsWith('EUR')))
  assert.equal(await page.getByLabel('Code', { exact: true }).inputValue(), 'LEO15')
  assert.equal(await page.getByLabel('Currency').inputValue(), 'EUR')
})

step('an id of the provider finds its purchase', async () => {
  await page.getByRole('link', { name: 'Clear' }).click()
  await untilFiltered({})
  await page.getByLabel('Search').fill('in_demo_4')
  await untilFiltered({ q: 'in_demo_4' })
  await page.locator('[data-purchase="inv:in_demo_4"]').waitFor()
  await page.getByLabel('Search').fill('pi_demo_once_3')
  await until(() => rows().count(), (count) => count === 1, 'purchase of a payment')
})

step('the search field of the top bar leads here', async () => {
  await page.goto(product.at('/demo/dashboard'))
  await page.getByLabel('Search purchases').fill('in_demo_7')
  await page.getByLabel('Search purchases').press('Enter')
  await page.waitForURL(/\/demo\/redemptions\?mode=live&q=in_demo_7/)
  await page.locator('[data-purchase="inv:in_demo_7"] a').click()
  await page.waitForURL(/\/demo\/purchases\/inv/)
})

step('a row of the affiliates table leads to its page, and that to its purchases', async () => {
  await page.goto(product.at('/demo/dashboard'))
  await page.locator('section[aria-labelledby="affiliates-title"]').getByRole('link', { name: 'Leo Brandt' }).click()
  await page.waitForURL(/\/affiliates\/leo/)
  await page.getByRole('link', { name: 'All purchases' }).click()
  await page.waitForURL(/affiliate=leo/)
  assert.equal(await rows().count(), 23)
  await page.goto(product.at('/demo/dashboard'))
  await page.locator('.outcomes a', { hasText: 'organic' }).click()
  await page.waitForURL(/outcome=organic/)
  assert.equal(await rows().count(), 16)
})

step('a filter that cannot be used is named', async () => {
  const answer = await page.context().request.get(product.at('/demo/redemptions?outcome=lost'))
  assert.equal(answer.status(), 400)
  assert.match(await answer.text(), /outcome.*Use one of credited, organic, rejected, waiting/)
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
