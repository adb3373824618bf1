// An affiliate is invited by mail, sees only their own figures, live, and is let in again by a link they ask for.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { figure, launch, minor, openPage, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { MailServer } from './lib/mail.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_browserTest0123456789'

let product, chromium, mail, vendor, anna, complaints, endpointUrl, annasAddress, link
const first = paidInvoice({ code: 'ANNA20', price: 4900, off: 980 })
const bens = paidInvoice({ code: 'BEN10', price: 70_000, off: 7_000 })

before(async () => {
  mail = MailServer.start()
  annasAddress = mail.address('anna')
  product = await new Product({ demo: false, settings: mail.settings }).start()
  chromium = await launch()
  ;({ page: vendor } = await person())
  ;({ page: anna, complaints } = await person())
})

after(async () => {
  await chromium?.close()
  await product?.end()
  mail?.end()
})

/** A browser of its own, without a session. */
async function person() {
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 } })
  return openPage(context, { expected: ['401', '403', '404', '410', '422', '429'] })
}

/** Nothing is wrong with the page in any width, and people who want to see it get pictures: SHOTS=folder. */
async function look(page, name) {
  for (const [width, scheme] of [[390, 'light'], [768, 'dark'], [1440, 'light'], [390, 'dark']]) {
    await page.setViewportSize({ width, height: 800 })
    await page.emulateMedia({ colorScheme: scheme })
    const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], `${name} at ${width}, ${scheme}`)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.equal(overflow, 0, `${name} at ${width} scrolls sideways`)
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}-${width}-${scheme}.png`, fullPage: true })
  }
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.emulateMedia({ colorScheme: 'light' })
}

const linkIn = (text) => /http:\S+/.exec(text)[0]
const balance = async (part) => minor(await words(anna.locator(`#${part}-usd`)))

step('a workspace with two affiliates and a sale of each', async () => {
  await vendor.goto(product.openUrl)
  endpointUrl = await product.connect('acme', SECRET)
  await product.decide('acme', decisions())
  for (const sale of [first, bens]) assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  await until(async () => {
    await vendor.goto(product.at('/acme/dashboard?mode=live'))
    return words(vendor.locator('.outcomes'))
  }, (text) => /2 credited/.test(text), 'both sales')
})

step('whoever has no address cannot be invited; with one, a mail goes out', async () => {
  await vendor.goto(product.at('/acme/affiliates/anna'))
  assert.equal(await vendor.getByRole('button', { name: 'Invite Anna Lind' }).isDisabled(), true)
  await vendor.getByLabel('E-mail').fill(annasAddress)
  await vendor.getByRole('button', { name: 'Save' }).click()
  await vendor.waitForURL(/done=saved/)
  await vendor.getByRole('button', { name: 'Invite Anna Lind' }).click()
  await vendor.waitForURL(/done=invited/)
  assert.match(await words(vendor.getByRole('status').first()), /The invitation is on its way/)
  await look(vendor, 'invited')
})

step('the mail says who invites, and its link shows a button that a scanner does not press', async () => {
  const text = await mail.newest(annasAddress)
  assert.match(text, /Hello Anna Lind,.*acme pays you commission.*good once, for 14 days/is)
  link = linkIn(text)
  const scanner = await person()
  for (let times = 0; times < 3; times++) await scanner.page.goto(link)
  await anna.goto(link)
  assert.match(await words(anna.locator('main')), /acme Hello Anna Lind\./i)
  await look(anna, 'portal-link')
  await anna.getByRole('button', { name: 'Show my figures' }).click()
  await anna.waitForURL(product.at('/portal'))
})

step('they see their own sale, what it earns and their code, and nothing of others or of the buyer', async () => {
  await until(() => figure(anna, 'figure-commission-usd'), (amount) => amount === 784, 'commission')
  assert.equal(await figure(anna, 'figure-revenue-usd'), 3_920)
  assert.equal(await figure(anna, 'figure-redemptions-count'), 1)
  assert.deepEqual([await balance('earned'), await balance('in-hold'), await balance('payable')], [784, 784, 0])
  assert.equal(await words(anna.locator('#code-1')), 'ANNA20')
  assert.equal(await anna.locator('#feed li').count(), 1)
  const page = await anna.content()
  for (const hidden of [first.invoice, first.event.data.object.customer, 'BEN10', 'Ben Adeyemi', '/acme/']) {
    assert.ok(hidden && !page.includes(hidden), hidden)
  }
  await look(anna, 'portal')
  // It is drawn again when the window changes.
  const width = async () => (await anna.locator('#chart canvas').boundingBox())?.width ?? 0
  await until(width, (pixels) => pixels > 400, 'the width of the chart')
})

step('a new sale of theirs appears on the open page, and nobody else\'s', async () => {
  await anna.evaluate(() => { window.sameDocument = true })
  const foreign = paidInvoice({ code: 'BEN10', price: 5_000, off: 500 })
  const own = paidInvoice({ code: 'ANNA20', price: 2_900, off: 580 })
  for (const sale of [foreign, own]) assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  await until(() => figure(anna, 'figure-commission-usd'), (amount) => amount === 784 + 464, 'commission')
  assert.equal(await anna.locator('#feed li').count(), 2)
  assert.equal(await anna.evaluate(() => window.sameDocument), true, 'the page was not loaded again')
})

step('every range has an address, and one without a sale says so', async () => {
  await anna.goto(product.at('/portal?from=2020-01-01&to=2020-01-31'))
  assert.match(await words(anna.locator('.range-line')), /1 Jan – 31 Jan 2020/)
  await until(() => balance('earned'), (amount) => amount === 784 + 464, 'the balance, which is of all time')
  assert.equal(await anna.locator('#feed li').count(), 0)
  await anna.getByRole('link', { name: '7 days' }).click()
  await anna.waitForURL(/range=7d/)
  await until(() => anna.locator('#feed li').count(), (count) => count === 2, 'the lines')
})

step('they write their own name and how they are paid, and the vendor sees both', async () => {
  await anna.goto(product.at('/portal'))
  await anna.locator('.portal-who').getByRole('link', { name: 'Anna Lind' }).click()
  await anna.waitForURL(product.at('/portal/account'))
  await anna.getByLabel('How you want to be paid').fill('x'.repeat(400))
  await anna.evaluate(() => document.querySelector('textarea').removeAttribute('maxlength'))
  await anna.getByLabel('How you want to be paid').fill('x'.repeat(501))
  await anna.getByRole('button', { name: 'Save how you are paid' }).click()
  assert.match(await words(anna.locator('.error')), /501 characters; 500 are the most/)
  await look(anna, 'portal-account')
  await anna.getByLabel('How you want to be paid').fill('Bank of Berlin\nDE02 1203 0000 0000 2020 51')
  await anna.getByRole('button', { name: 'Save how you are paid' }).click()
  await anna.waitForURL(/done=payout-address/)
  await anna.getByLabel('Your name').fill('Anna L. <b>')
  await anna.getByRole('button', { name: 'Save the name' }).click()
  await anna.waitForURL(/done=name/)
  await vendor.goto(product.at('/acme/affiliates/anna?mode=live'))
  assert.match(await words(vendor.locator('#payout-address')), /Bank of Berlin DE02 1203/)
  assert.equal(await words(vendor.locator('h1')), 'Anna L. <b>')
  const file = await vendor.request.get(product.at('/acme/payouts.csv?mode=live&range=30d'))
  assert.match(await file.text(), /Anna L\. <b>,anna,.*,active,"Bank of Berlin, DE02 1203 0000 0000 2020 51"/)
  await look(vendor, 'affiliate-payout')
})

/** Asks as a person does. Answers the verdict in words. */
async function asked(fields) {
  await anna.goto(product.at('/portal/credited'))
  for (const [label, value] of Object.entries(fields)) await anna.getByLabel(label).fill(value)
  await anna.getByRole('button', { name: 'Ask' }).click()
  return words(anna.locator('#verdict'))
}

const RECEIPT = 'Id of the invoice, payment or order'

step('they ask whether a sale is theirs, and learn nothing of others', async () => {
  const elsewhere = paidInvoice({ code: null, price: 4_321 })
  assert.equal(await deliver(await product.connect('globex', SECRET), SECRET, elsewhere.event), 200)
  const organic = paidInvoice({ code: null, price: 7_777 })
  assert.equal(await deliver(endpointUrl, SECRET, organic.event), 200)
  await until(async () => {
    await vendor.goto(product.at('/globex/dashboard?mode=live'))
    const there = await words(vendor.locator('.outcomes'))
    await vendor.goto(product.at('/acme/dashboard?mode=live'))
    return there + (await words(vendor.locator('.outcomes')))
  }, (text) => (text.match(/1 organic/g) ?? []).length === 2, 'the sales without a code')
  assert.match(await asked({ [RECEIPT]: first.invoice }), /^Yes, it is credited to you .* earns you 7\.84 USD/)
  await look(anna, 'portal-credited')
  assert.match(await asked({ [RECEIPT]: bens.invoice }), /^No, it is not credited to you The sale was made with another code or link/)
  assert.match(await asked({ [RECEIPT]: organic.invoice }), /^No, .* No code and no link of an affiliate was used/)
  const unknown = await asked({ [RECEIPT]: 'in_1nobody' })
  assert.match(unknown, /^We find no such sale/)
  assert.equal(await asked({ [RECEIPT]: elsewhere.invoice }), unknown, 'another vendor\'s sale is as unknown as none')
  const today = new Date(first.event.created * 1000).toISOString().slice(0, 10)
  const paid = { 'Day of the payment': today, Currency: 'usd' }
  assert.match(await asked({ ...paid, 'Amount paid': '39.20' }), /^Yes/)
  assert.match(await asked({ ...paid, 'Amount paid': '630' }), /another code or link/)
  assert.equal(await asked({ ...paid, 'Amount paid': '43.21' }), unknown)
  const page = await anna.content()
  for (const hidden of ['Ben Adeyemi', 'BEN10', bens.event.data.object.customer]) assert.ok(!page.includes(hidden), hidden)
})

step('a question that cannot be asked is named, and a forged one is refused', async () => {
  await anna.goto(product.at('/portal/credited'))
  await anna.getByLabel('Amount paid').fill('much')
  await anna.getByLabel('Currency').fill('usd')
  await anna.getByRole('button', { name: 'Ask' }).click()
  assert.deepEqual(await anna.locator('.error').allInnerTexts(), ['Write the day like 2026-01-31.', 'Write the amount like 49.00.'])
  for (const path of ['/portal/credited', '/portal/account/name', '/portal/account/payout-address', '/portal/account/sessions/end-others']) {
    const answer = await anna.request.post(product.at(path), { form: { csrf: 'made up', receipt: 'in_1', name: 'x' } })
    assert.equal(answer.status(), 403, path)
  }
})

step('without a script all of it can be read and asked', async () => {
  const storageState = await anna.context().storageState()
  const context = await chromium.browser.newContext({ storageState, javaScriptEnabled: false })
  const page = await context.newPage()
  await page.goto(product.at('/portal'))
  assert.equal(minor(await page.locator('#figure-commission-usd .amount').innerText()), 784 + 464)
  await page.getByRole('link', { name: 'Was I credited?' }).click()
  await page.getByLabel(RECEIPT).fill(first.invoice)
  await page.getByRole('button', { name: 'Ask' }).click()
  assert.match(await words(page.locator('#verdict')), /^Yes/)
  await page.goto(product.at('/portal/account'))
  await page.getByLabel('How you want to be paid').fill('PayPal anna@example.com')
  await page.getByRole('button', { name: 'Save how you are paid' }).click()
  assert.match(await words(page.getByRole('status')), /The vendor sees it/)
  await context.close()
})

step('questions end for the day, so that nobody can try them all', async () => {
  let answer = ''
  for (let times = 0; times < 21 && !/asked often/.test(answer); times++) answer = await asked({ [RECEIPT]: `in_1guess${times}` })
  assert.match(answer, /^You asked often today Ask again tomorrow, or write to acme\./)
})

step('the portal\'s session opens nothing of the vendor, and the link opens nothing twice', async () => {
  for (const path of ['/acme/dashboard', '/acme/affiliates', '/acme/redemptions', '/acme/payouts.csv', '/account']) {
    const answer = await anna.request.get(product.at(path))
    assert.equal(answer.status(), 401, path)
  }
  const other = await person()
  const answer = await other.page.goto(link)
  assert.equal(answer.status(), 410)
  await other.page.getByRole('link', { name: 'Ask for a link' }).click()
  await other.page.waitForURL(product.at('/portal/sign-in'))
  assert.equal((await vendor.request.get(product.at('/portal?fragment=1'))).status(), 401)
})

step('signed out, they ask for a link with their address; a stranger is told the same', async () => {
  await anna.goto(product.at('/portal'))
  await anna.getByRole('button', { name: 'Sign out' }).click()
  await anna.waitForURL(product.at('/portal/sign-in'))
  await look(anna, 'portal-sign-in')
  const told = []
  for (const address of [mail.address('stranger'), annasAddress]) {
    await anna.goto(product.at('/portal/sign-in'))
    await anna.getByLabel('E-mail address').fill(address)
    await anna.getByRole('button', { name: 'Send me a link' }).click()
    await until(() => words(anna.locator('h1')), (text) => text === 'Look into your mail', 'the answer')
    told.push((await words(anna.locator('main'))).replace(address, 'ADDRESS'))
  }
  assert.equal(told[0], told[1])
  await anna.goto(linkIn(await mail.newest(annasAddress, 2)))
  await anna.getByRole('button', { name: 'Show my figures' }).click()
  await until(() => figure(anna, 'figure-commission-usd'), (amount) => amount === 784 + 464, 'commission')
})

step('they see where they are signed in, and end what is not theirs any more', async () => {
  const others = []
  for (const count of [3, 4]) {
    const { page } = await person()
    await page.goto(product.at('/portal/sign-in'))
    await page.getByLabel('E-mail address').fill(annasAddress)
    await page.getByRole('button', { name: 'Send me a link' }).click()
    await page.goto(linkIn(await mail.newest(annasAddress, count)))
    await page.getByRole('button', { name: 'Show my figures' }).click()
    await page.waitForURL(product.at('/portal'))
    others.push(page)
  }
  await anna.goto(product.at('/portal/account'))
  const sessions = anna.locator('.sessions li')
  assert.equal(await sessions.count(), 3)
  assert.match(await words(anna.locator('.sessions')), /Chrome on Linux this browser/)
  await look(anna, 'portal-sessions')
  await anna.getByRole('button', { name: /^End Chrome/ }).first().click()
  await anna.waitForURL(/done=ended/)
  assert.equal(await sessions.count(), 2)
  await anna.getByRole('button', { name: 'End all others' }).click()
  await anna.waitForURL(/done=ended-others/)
  assert.equal(await sessions.count(), 1)
  for (const page of others) assert.equal((await page.request.get(product.at('/portal?fragment=1'))).status(), 401)
})

step('a suspended affiliate is told; a corrected address ends what went to the wrong one', async () => {
  await product.decide('acme', [{ decide: 'affiliate', key: 'anna', suspended: true }])
  await until(async () => {
    await anna.goto(product.at('/portal'))
    return words(anna.locator('body'))
  }, (text) => /Your participation is paused/.test(text), 'the notice')
  await product.decide('acme', [{ decide: 'affiliate', key: 'anna', email: mail.address('right') }])
  await until(async () => {
    await anna.goto(product.at('/portal'))
    return anna.url()
  }, (url) => url === product.at('/portal/sign-in'), 'the way in')
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
