// The first month as one walk: somebody signs up, connects Stripe, invites three affiliates by mail, watches redemptions
// arrive, is warned by mail when a code spikes, and takes the payouts into a spreadsheet. Every figure to the cent.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { figure, launch, openPage, until, waitForDemo, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { MailServer } from './lib/mail.mjs'
import { Product } from './lib/product.mjs'
import { openedByLibreOffice } from './lib/spreadsheet.mjs'
import { CODES, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_firstMonth0123456789'
const DAY_S = 86_400
/** 49.00 less a discount of 9.80, of which 20 % are the affiliate's. */
const NET = 3_920
const COMMISSION = 784
const QUIET = 60
const BURST = 24
const PEOPLE = [
  { code: 'ANNA20', name: 'Anna Lind', sales: QUIET + BURST + 1 },
  { code: 'BEN10', name: 'Ben Adeyemi', sales: QUIET + 1 },
  { code: 'CARA5', name: 'Cara "the Pod" Müller', sales: 1 },
]

CODES.CARA5 = { promotionCode: 'promo_1Cara5', coupon: 'CARA_5', affiliate: 'cara', name: 'Cara' }

let product, chromium, mail, page, complaints, owner, endpoint, folder
const now = () => Math.floor(Date.now() / 1000)
const total = PEOPLE.reduce((sum, person) => sum + person.sales, 0)

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'affilitrack-month-'))
  mail = MailServer.start()
  owner = mail.address('owner')
  for (const person of PEOPLE) person.email = mail.address(person.code.toLowerCase())
  product = await new Product({ settings: mail.settings }).start()
  chromium = await launch()
  ;({ page, complaints } = await browser())
})

after(async () => {
  await chromium?.close()
  await product?.end()
  mail?.end()
  rmSync(folder, { recursive: true, force: true })
})

/** A browser of its own. */
async function browser() {
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 }, timezoneId: 'UTC', acceptDownloads: true })
  return openPage(context)
}

async function shoot(view, name) {
  if (process.env.SHOTS) await view.screenshot({ path: `${process.env.SHOTS}/month-${name}.png`, fullPage: true })
}

const press = (name) => page.getByRole('button', { name, exact: true }).click()
const section = (name) => page.getByRole('navigation', { name: 'Sections' }).getByRole('link', { name, exact: true }).click()
const linkIn = (text) => /http:\S+/.exec(text)[0]

async function redeem(code, times) {
  for (const created of times) assert.equal(await deliver(endpoint, SECRET, paidInvoice({ code, created }).event), 200)
}

step('somebody signs up by mail and looks around in a demo of their own', async () => {
  await page.goto(product.at('/sign-in'))
  await page.getByLabel('E-mail address').fill(owner)
  await press('Send me a link')
  await page.getByLabel('Six digits').waitFor()
  await page.goto(linkIn(await mail.newest(owner)))
  await press('Sign in')
  await page.waitForURL(/\/demo-\d+\/dashboard/)
  await waitForDemo(page)
})

step('they connect Stripe from there, which opens their own workspace', async () => {
  await page.locator('.banner').getByRole('link', { name: 'Connect Stripe' }).click()
  await page.getByLabel('Name of your workspace').fill('Tiny Tools')
  await page.getByLabel('Signing secret').fill(SECRET)
  await press('Connect Stripe')
  await page.waitForURL(/\/tiny-tools\/connections/)
  endpoint = (await words(page.locator('.endpoint').first())).trim()
})

step('three affiliates get a code each and are invited by mail', async () => {
  for (const person of PEOPLE) {
    const { code, name, email } = person
    await section('Affiliates')
    await page.getByRole('link', { name: 'Add affiliate' }).first().click()
    await page.getByLabel('Name').fill(name)
    await page.getByLabel('E-mail').fill(email)
    await press('Add affiliate')
    await page.waitForURL(/\/tiny-tools\/affiliates\/(?!new)[^?]+/)
    person.path = new URL(page.url()).pathname
    await page.getByLabel('Code', { exact: true }).fill(code)
    await page.getByText('Ids at the payment provider').click()
    await page.getByLabel(/Stripe promotion code id/).fill(CODES[code].promotionCode)
    await page.getByLabel(/Coupon or discount id/).fill(CODES[code].coupon)
    await press('Give this code')
    await until(() => words(page.locator('main')), (text) => /The code has its new owner/.test(text), 'the code')
    await press(`Invite ${name}`)
    await page.waitForURL(/done=invited/)
  }
  await section('Affiliates')
  await shoot(page, 'affiliates')
})

step('three quiet weeks of two of them are counted', async () => {
  const quiet = Array.from({ length: QUIET }, (_, one) => now() - 21 * DAY_S + one * ((20 * DAY_S) / QUIET))
  await Promise.all([redeem('ANNA20', quiet), redeem('BEN10', quiet)])
  await section('Dashboard')
  const counted = async () => {
    if ((await page.locator('#figure-redemptions-count').count()) === 0) return (await page.reload(), 0)
    return figure(page, 'figure-redemptions-count')
  }
  await until(counted, (count) => count === 2 * QUIET, 'the quiet weeks')
})

step('new redemptions arrive on the open page', async () => {
  await page.evaluate(() => { window.sameDocument = true })
  for (const { code } of PEOPLE) await redeem(code, [now() - 700])
  await until(() => figure(page, 'figure-redemptions-count'), (count) => count === 2 * QUIET + 3, 'three more')
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was not loaded again')
})

step('a code that spikes is warned of by mail, and the mail leads to the rows', async () => {
  await redeem('ANNA20', Array.from({ length: BURST }, (_, one) => now() - 610 + one * 20))
  const text = await mail.newest(owner, 2)
  assert.match(text, /ANNA20 of Anna Lind was redeemed \d+ times in .* were expected/)
  await page.goto(/http:\S+\/tiny-tools\/alerts\/[0-9a-f]{16}\S*/.exec(text)[0])
  assert.match(await words(page.locator('main')), /ANNA20 of Anna Lind/)
  await shoot(page, 'alert')
  await section('Dashboard')
  await until(() => figure(page, 'figure-redemptions-count'), (count) => count === total, 'all of them')
})

step('each affiliate sees at the portal what the vendor sees of them', async () => {
  assert.equal(await figure(page, 'figure-commission-usd'), total * COMMISSION)
  for (const { code, name, email, path, sales } of PEOPLE) {
    const { page: portal } = await browser()
    await portal.goto(linkIn(await mail.newest(email)))
    await portal.getByRole('button', { name: 'Show my figures' }).click()
    await portal.waitForURL(product.at('/portal'))
    await page.goto(product.at(`${path}?mode=live&range=30d`))
    for (const [id, amount] of [
      ['figure-redemptions-count', sales],
      ['figure-revenue-usd', sales * NET],
      ['figure-commission-usd', sales * COMMISSION],
    ]) {
      await until(() => figure(portal, id), (shown) => shown === amount, `${id} at the portal of ${name}`)
      assert.equal(await figure(page, id), amount, `${id} of ${name}`)
    }
    assert.equal(await words(portal.locator('#code-1')), code)
    for (const other of PEOPLE.filter((one) => one.name !== name)) {
      assert.ok(!(await portal.content()).includes(other.code), `${name} sees nothing of ${other.name}`)
    }
    if (code === 'ANNA20') await shoot(portal, 'portal')
    await portal.context().close()
  }
})

step('the payouts open right in a spreadsheet', async () => {
  await page.goto(product.at('/tiny-tools/dashboard?mode=live&range=30d'))
  await shoot(page, 'dashboard')
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export CSV' }).click()])
  const path = join(folder, download.suggestedFilename())
  await download.saveAs(path)
  const [head, ...rows] = await openedByLibreOffice(path)
  const at = (column) => head.findIndex((cell) => cell.text === column)
  const cells = rows.map((row) => ({
    name: row[at('Affiliate')].text,
    email: row[at('E-mail')].text,
    currency: row[at('Currency')].text,
    redemptions: Number(row[at('Redemptions')].number),
    revenue: Math.round(Number(row[at('Revenue')].number) * 100),
    commission: Math.round(Number(row[at('Commission owed')].number) * 100),
  }))
  const expected = PEOPLE.map(({ name, email, sales }) => ({
    name, email, currency: 'USD', redemptions: sales, revenue: sales * NET, commission: sales * COMMISSION,
  }))
  const byName = (rows) => rows.toSorted((one, other) => (one.name < other.name ? -1 : 1))
  assert.deepEqual(byName(cells), byName(expected))
})

step('they leave the demo, and nothing was amiss on the way', async () => {
  await page.goto(product.at('/'))
  await page.waitForURL(/\/tiny-tools\/dashboard/)
  assert.deepEqual(complaints, [])
})
