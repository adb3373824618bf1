// Without the demo: the printed address leads to a form that makes the first workspace, and a wrong secret is seen.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { figure, launch, openPage, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_browserTest0123456789'
const PASTED = 'whsec_ofAnotherEndpoint0123'

let product, chromium, page, complaints, endpointUrl
const sale = paidInvoice({ code: 'ANNA20', price: 4900, off: 980 })

before(async () => {
  product = await new Product({ demo: false }).start()
  chromium = await launch()
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 } })
  ;({ page, complaints } = await openPage(context, { expected: ['422'] }))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

/** For people who want to see what the test sees: SHOTS=folder. */
async function shoot(name) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true })
}

/** The words of the page as it is now: what another process refused is told to this one about once a second. */
async function reloaded() {
  await page.reload()
  return words(page.locator('.connection'))
}

step('the printed address leads to a form that makes the first workspace', async () => {
  const answer = await page.goto(product.openUrl)
  assert.equal(answer.status(), 200)
  assert.equal(page.url(), product.at('/welcome'))
  assert.match(await words(page.locator('main')), /Welcome to AffiliTrack.*affilitrack connect stripe --vendor acme --secret -/)
  await shoot('welcome')
})

step('what cannot be right is said beside the field, and nothing typed is lost', async () => {
  await page.getByLabel('Name of your workspace').fill('Tiny Tools')
  await page.getByLabel('Signing secret').fill('rk_live_notASecret')
  await page.getByRole('button', { name: 'Make the workspace' }).click()
  await until(() => words(page.locator('#secret-error')), (text) => /This is an API key/.test(text), 'the error')
  assert.equal(await page.getByLabel('Name of your workspace').inputValue(), 'Tiny Tools')
  await shoot('welcome-error')
})

step('the workspace is made, and its endpoint waits', async () => {
  await page.getByLabel('Signing secret').fill(PASTED)
  await page.getByRole('button', { name: 'Make the workspace' }).click()
  await page.waitForURL(/\/tiny-tools\/connections/)
  assert.match(await words(page.getByRole('status').first()), /Stripe is connected.*Developers, Webhooks/)
  assert.match(await words(page.locator('.connection')), /Waiting for the first delivery/)
  endpointUrl = await words(page.locator('.endpoint'))
})

step('a delivery that matches no secret is seen on the open page, with what to do', async () => {
  await page.evaluate(() => { window.sameDocument = true })
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 400)
  const seen = /The last delivery, \d+ s ago, did not match the signing secret\. Paste the signing secret of this endpoint/
  const text = await until(() => words(page.locator('.connection')), (each) => seen.test(each), 'the warning')
  assert.match(text, /The last delivery was refused/)
  assert.match(text, /Failed deliveries of the last 24 hours.*Did not match the signing secret [^.]* 1 What cannot/)
  assert.doesNotMatch(text, /Waiting for the first delivery/)
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was not loaded again')
  await shoot('wrong-secret')
})

step('other reasons have other words, and none holds anything of the body', async () => {
  assert.equal((await fetch(endpointUrl, { method: 'POST', body: JSON.stringify(sale.event) })).status, 400)
  const seen = /The last delivery, \d+ s ago, had no signature\. Stripe signs every delivery in the header stripe-signature/
  const text = await until(reloaded, (each) => seen.test(each), 'the other reason')
  assert.ok(!text.includes(sale.event.id) && !text.includes(sale.invoice), text)
})

step('the right secret is added with the form, and the delivery that Stripe sends again counts', async () => {
  await page.locator('#connect summary').first().click()
  await page.getByLabel('Signing secret').fill(SECRET)
  await page.getByRole('button', { name: 'Connect Stripe' }).click()
  await page.waitForURL(/connected=stripe/)
  await product.decide('tiny-tools', decisions())
  assert.equal(await deliver(endpointUrl, 'whsec_stillWrong0123456', sale.event), 400)
  await until(reloaded, (text) => /did not match any of the 2 signing secrets/.test(text), 'the reason with two secrets')
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  const calm = (text) => /Last delivery .*UTC/.test(text) && !/The last delivery, /.test(text)
  await until(() => words(page.locator('.connection')), calm, 'the warning to go')
  await shoot('after-the-right-secret')
  await page.goto(product.at('/'))
  assert.match(page.url(), /\/tiny-tools\/dashboard/)
  await until(() => figure(page, 'figure-commission-usd'), (amount) => amount === 784, 'commission')
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
