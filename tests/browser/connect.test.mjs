// Somebody connects Stripe through the page and watches the first sales arrive.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { figure, launch, openPage, signIn, until, waitForDemo, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_browserTest0123456789'

let product, chromium, page, complaints, endpointUrl
const first = paidInvoice({ code: 'ANNA20', price: 4900, off: 980 })

before(async () => {
  product = await new Product().start()
  chromium = await launch()
  const context = await signIn(chromium.browser, product.openUrl)
  ;({ page, complaints } = await openPage(context))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

/** The dashboard as it is now: what a person would compare. */
async function readDashboard() {
  return {
    figures: await words(page.locator('.figures')),
    outcomes: await words(page.locator('.outcomes')),
    feed: await page.locator('#feed li').evaluateAll((rows) => rows.map((row) => row.dataset.purchase)),
  }
}

step('from the demo, the form makes a workspace and shows its endpoint', async () => {
  await page.goto(product.at('/demo/dashboard'))
  await waitForDemo(page)
  await page.locator('.banner').getByRole('link', { name: 'Connect Stripe' }).click()
  await page.getByLabel('Name of your workspace').fill('Tiny Tools')
  await page.getByLabel('Signing secret').fill(SECRET)
  await page.getByRole('button', { name: 'Connect Stripe' }).click()
  await page.waitForURL(/\/tiny-tools\/connections/)
  assert.match(await words(page.getByRole('status').first()), /Stripe is connected/)
  endpointUrl = await words(page.locator('.endpoint'))
  assert.match(endpointUrl, new RegExp(`^http://127\\.0\\.0\\.1:${product.port}/webhooks/stripe/[\\w-]{24,}$`))
  const card = await words(page.locator('.connection'))
  assert.match(card, /Waiting for the first delivery/)
  assert.ok(!(await page.content()).includes(SECRET), 'the secret is never shown again')
})

step('the new workspace says what to do next', async () => {
  await product.decide('tiny-tools', decisions())
  await page.getByRole('link', { name: 'Dashboard' }).click()
  assert.match(await words(page.locator('main')), /No purchases yet.*You need not reload/)
  assert.equal(await page.locator('.banner').count(), 0)
})

step('a delivery signed by the SDK appears on the open dashboard without a reload', async () => {
  await until(() => words(page.locator('#live-text')), (text) => text === 'Live', 'state of the live stream')
  await page.evaluate(() => { window.sameDocument = true })
  assert.equal(await deliver(endpointUrl, SECRET, first.event), 200)
  await page.locator(`#feed [data-purchase="${first.key}"]`).waitFor()
  await until(() => figure(page, 'figure-commission-usd'), (amount) => amount === 784, 'commission')
  assert.equal(await figure(page, 'figure-redemptions-count'), 1)
  assert.equal(await figure(page, 'figure-revenue-usd'), 3920)
  assert.match(await words(page.locator('#feed li').first()), /^Anna Lind ANNA20 39\.20 USD Credited · .* earns 7\.84 USD$/)
  await until(() => words(page.locator('#announcer')), (text) => /New purchase/.test(text), 'announcement')
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was not loaded again')
})

step('the figures tick and the new row slides in', async () => {
  // Notes every animation, because one may be over before it is looked at.
  await page.evaluate(() => {
    window.animations = new Set()
    document.addEventListener('animationstart', (event) => window.animations.add(`${event.animationName} ${event.target.closest('[id]')?.id}`), true)
  })
  const second = paidInvoice({ code: 'BEN10', price: 9900, off: 990 })
  assert.equal(await deliver(endpointUrl, SECRET, second.event), 200)
  await page.locator(`#feed [data-purchase="${second.key}"]`).waitFor()
  await until(() => figure(page, 'figure-commission-usd'), (amount) => amount === 784 + 1782, 'commission')
  const animations = await until(
    () => page.evaluate(() => [...window.animations]),
    (list) => list.includes('tick figure-redemptions-count') && list.some((each) => each.startsWith('slide-in feed-')),
    'animations',
  )
  assert.ok(animations.includes('tick figure-commission-usd'), animations.join(', '))
})

step('what somebody reads stays in place while new rows arrive above it', async () => {
  const row = page.locator('#feed li').last()
  await row.hover()
  const id = await row.getAttribute('id')
  const before = await page.locator(`#${id}`).boundingBox()
  const third = paidInvoice({ code: null, price: 2900 })
  assert.equal(await deliver(endpointUrl, SECRET, third.event), 200)
  await page.locator(`#feed [data-purchase="${third.key}"]`).waitFor({ state: 'attached' })
  const button = page.locator('#feed-new')
  if (await button.isVisible()) assert.equal(await button.innerText(), '1 new')
  const box = await page.locator(`#${id}`).boundingBox()
  // A feed that is too short to scroll has no place to hold on to: the row moves by one row at most.
  assert.ok(Math.abs(box.y - before.y) <= before.height + 1, `moved from ${before.y} to ${box.y}`)
  await page.mouse.move(2, 2)
  await until(() => words(page.locator('#outcome-organic')), (count) => count === '1', 'organic purchases')
})

step('a page whose body comes from a process that is a moment behind asks again', async () => {
  const bodies = /\/dashboard\?.*fragment=1/
  let asked = 0
  await page.route(bodies, (route) => (asked++ < 3 ? route.fulfill({ status: 304 }) : route.continue()))
  const sale = paidInvoice({ code: null, price: 1_100 })
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  await page.locator(`#feed [data-purchase="${sale.key}"]`).waitFor({ state: 'attached' })
  await page.unroute(bodies)
  assert.ok(asked > 3, `${asked} bodies`)
  await until(() => words(page.locator('#outcome-organic')), (count) => count === '2', 'organic purchases')
})

step('duplicates of the delivery change nothing', async () => {
  const before = await readDashboard()
  for (let time = 0; time < 5; time += 1) assert.equal(await deliver(endpointUrl, SECRET, first.event), 200)
  // The same event under another id, as a second endpoint of the account would bring it.
  assert.equal(await deliver(endpointUrl, SECRET, { ...first.event, id: `${first.event.id}again` }), 200)
  // What comes after them is seen, so they were seen too.
  const last = paidInvoice({ code: null, price: 1000 })
  assert.equal(await deliver(endpointUrl, SECRET, last.event), 200)
  await page.locator(`#feed [data-purchase="${last.key}"]`).waitFor()
  await until(() => words(page.locator('#outcome-organic')), (count) => count === '3', 'organic purchases')
  const now = await readDashboard()
  assert.equal(await figure(page, 'figure-redemptions-count'), 2)
  assert.equal(await figure(page, 'figure-commission-usd'), 784 + 1782)
  assert.deepEqual(now.feed.slice(1), before.feed)
})

step('the connection says that deliveries arrive', async () => {
  await page.getByRole('link', { name: 'Connections' }).click()
  await until(() => words(page.locator('.connection')), (text) => /Receiving.*Last delivery .*UTC/.test(text), 'connection')
})

step('a delivery with a wrong signature is refused and changes nothing', async () => {
  await page.getByRole('link', { name: 'Dashboard' }).click()
  const before = await readDashboard()
  assert.equal(await deliver(endpointUrl, 'whsec_somebodyElse0123', paidInvoice().event), 400)
  await page.reload()
  assert.deepEqual(await readDashboard(), before)
})

step('the workspace switch leads back to the demo, and the two never mix', async () => {
  await page.locator('.vendor-switch summary').click()
  await page.locator('.vendor-switch').getByRole('link', { name: /Writer Pro/ }).click()
  await page.waitForURL(/\/demo\/dashboard/)
  assert.equal(await figure(page, 'figure-redemptions-count'), 47)
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
