// A code that was quiet for weeks is redeemed in a burst: one alert on the open page, one mail, also after a restart. A
// campaign that was announced raises none.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { launch, openPage, until, words } from '../lib/browser.mjs'
import { step } from '../lib/journey.mjs'
import { Product } from '../lib/product.mjs'
import { decisions, deliver, paidInvoice } from '../lib/stripe.mjs'

const SECRET = 'whsec_browserTest0123456789'
const EMAIL = 'maya@example.com'
const DAY_S = 86_400

let product, chromium, context, page, complaints, endpointUrl
const now = () => Math.floor(Date.now() / 1000)

before(async () => {
  product = await new Product({ demo: false }).start()
  chromium = await launch()
  context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 }, timezoneId: 'UTC' })
  ;({ page, complaints } = await openPage(context, { expected: ['422', 'ERR_CONNECTION', 'ERR_INCOMPLETE', 'ERR_EMPTY', '502', 'event-stream'] }))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

async function shoot(name) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true })
}

/** Delivers first payments with a code, each by somebody else, in the order of their times. */
async function redeem(code, times) {
  for (const created of times) {
    assert.equal(await deliver(endpointUrl, SECRET, paidInvoice({ code, created }).event), 200)
  }
}

/** Twenty-four in eight minutes, the last one a little more than two minutes ago: all can be judged. */
const burst = () => Array.from({ length: 24 }, (_, one) => now() - 610 + one * 20)

/** Redemptions that are counted. */
async function counted() {
  const totals = await product.read('tiny-tools', 'live', 'totals')
  return totals.rows.flatMap((row) => row.totals).reduce((sum, total) => sum + total.redemptions, 0)
}

/** Mails about spikes that were caught. */
async function spikeMails() {
  const { page: mail } = await openPage(context)
  await mail.goto(product.at('/demo/mail'))
  const texts = await mail.locator('article', { hasText: 'is redeemed unusually often' }).allInnerTexts()
  await mail.close()
  return texts
}

const cards = () => page.locator('[data-alert]')

step('somebody signs in by mail and makes a workspace', async () => {
  await page.goto(product.at('/sign-in'))
  await page.getByLabel('E-mail address').fill(EMAIL)
  await page.getByRole('button', { name: 'Send me a link' }).click()
  await page.getByRole('link', { name: 'caught mail' }).click()
  const mail = page.locator('article', { hasText: EMAIL })
  await until(async () => (await page.reload(), mail.count()), (count) => count === 1, 'the mail')
  await mail.getByRole('link').click()
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(product.at('/welcome'))
  await page.getByLabel('Name of your workspace').fill('Tiny Tools')
  await page.getByLabel('Signing secret').fill(SECRET)
  await page.getByRole('button', { name: 'Make the workspace' }).click()
  await page.waitForURL(/\/tiny-tools\/connections/)
  endpointUrl = await words(page.locator('.endpoint'))
  await product.decide('tiny-tools', decisions())
})

step('three quiet weeks raise nothing', async () => {
  const quiet = Array.from({ length: 60 }, (_, one) => now() - 21 * DAY_S + one * (20 * DAY_S / 60))
  await Promise.all([redeem('ANNA20', quiet), redeem('BEN10', quiet)])
  await until(counted, (count) => count === 120, 'the quiet weeks')
  await page.goto(product.at('/tiny-tools/alerts?mode=live'))
  assert.match(await words(page.locator('main')), /Nothing unusual/)
})

step('a campaign is announced; what cannot be right is said beside the field', async () => {
  const local = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16)
  await page.locator('#campaign summary').click()
  await page.getByLabel('Code').fill('BEN10')
  // From now on, as far as the burst is concerned: hours in which nothing of a campaign came would be learned.
  await page.getByLabel(/^From/).fill(local(now() - 1_200))
  await page.getByLabel(/^To/).fill(local(now() - DAY_S))
  await page.getByLabel(/How many times/).fill('1000')
  await page.getByRole('button', { name: 'Announce the campaign' }).click()
  await until(() => words(page.locator('#campaign-to-error')), (text) => /must end after/.test(text), 'the error')
  assert.equal(await page.getByLabel('Code').inputValue(), 'BEN10')
  await shoot('campaign-error')
  await page.getByLabel(/^To/).fill(local(now() + DAY_S))
  await page.getByRole('button', { name: 'Announce the campaign' }).click()
  await page.waitForURL(/announced=1/)
  assert.match(await words(page.locator('main')), /The campaign is announced.*BEN10.*1000 times the usual/)
})

step('a burst raises one alert on the open page, and the announced one none', async () => {
  await page.evaluate(() => { window.sameDocument = true })
  await redeem('BEN10', burst())
  await redeem('ANNA20', burst())
  await until(() => cards().count(), (count) => count === 1, 'the alert')
  assert.match(await words(cards()), /ANNA20 of Anna Lind It was redeemed \d+ times in .* by (at least )?\d customers; .* were expected/)
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was not loaded again')
  await until(counted, (count) => count === 168, 'both bursts')
  await shoot('alert')
  await page.reload()
  assert.equal(await cards().count(), 1)
  assert.equal(await words(page.locator('[data-open-alerts]')), '1 open')
})

step('its owner has one mail, which leads to it', async () => {
  const [text] = await until(spikeMails, (mails) => mails.length === 1, 'the mail')
  assert.match(text, /ANNA20 is redeemed unusually often/)
  assert.match(text, new RegExp(EMAIL))
  await page.goto(/http:\S+\/tiny-tools\/alerts\/[0-9a-f]{16}\S*/.exec(text)[0])
  assert.equal(await page.locator('[data-purchase]').count(), 20)
  await shoot('alert-rows')
  await page.getByRole('link', { name: 'All redemptions of this code until then' }).click()
  await page.waitForURL(/\/redemptions\?/)
  const codes = await page.locator('#explorer-rows .code').allInnerTexts()
  assert.ok(codes.length >= 24 && codes.every((code) => code === 'ANNA20'), `${codes.length} rows`)
})

step('after a restart it is still one alert and one mail', async () => {
  assert.equal(await product.interrupt(), 0)
  await product.start()
  await redeem('ANNA20', [now() - 130])
  await until(counted, (count) => count === 169, 'the redemption after the restart')
  await page.goto(product.at('/tiny-tools/alerts?mode=live'))
  assert.equal(await cards().count(), 1)
  assert.equal((await spikeMails()).length, 1)
})

step('what it was is said with a button', async () => {
  await page.getByRole('button', { name: 'Fraud' }).click()
  await until(() => words(cards()), (text) => /Fraud, said maya@example\.com on/.test(text), 'what was said')
  assert.equal(await page.locator('[data-open-alerts]').count(), 0)
  await shoot('alert-said')
  assert.deepEqual(complaints, [])
})
