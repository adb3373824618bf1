// The summary of a month: it goes out on the first by the clock of the process, with the figures of the page, once, also
// after a restart; its link switches it off and on again without a session; people choose on their own pages.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AxeBuilder } from '@axe-core/playwright'
import { launch, openPage, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { MailServer } from './lib/mail.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_browserTest0123456789'
const CLOCK = fileURLToPath(new URL('../../loadtest/src/chaos/clock.c', import.meta.url))

let product, chromium, mail, owner, anna, complaints, folder, ownersAddress, annasAddress, month, ownersLink

before(async () => {
  mail = MailServer.start()
  folder = mkdtempSync(join(tmpdir(), 'affilitrack-clock-'))
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', join(folder, 'clock.so'), CLOCK])
  ownersAddress = mail.address('owner')
  annasAddress = mail.address('anna')
  product = await new Product({ demo: false, settings: mail.settings }).start()
  chromium = await launch()
  ;({ page: owner, complaints } = await person())
  ;({ page: anna } = await person())
})

after(async () => {
  await chromium?.close()
  await product?.end()
  mail?.end()
  if (folder) rmSync(folder, { recursive: true, force: true })
})

/** A browser of its own, without a session. */
async function person() {
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 } })
  return openPage(context, { expected: ['401', '404', '410', '422'] })
}

/** Nothing is wrong with the page in any width, and people who want to see it get pictures: SHOTS=folder. */
async function look(page, name) {
  for (const [width, scheme] of [[390, 'light'], [1440, 'light'], [390, 'dark'], [1440, 'dark']]) {
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
const pathOf = (link) => new URL(link).pathname

async function signIn(page, count) {
  await page.goto(product.at('/sign-in'))
  await page.getByLabel('E-mail address').fill(ownersAddress)
  await page.getByRole('button', { name: 'Send me a link' }).click()
  await page.getByLabel('Six digits').waitFor()
  await page.goto(linkIn(await mail.newest(ownersAddress, count)))
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** Starts it again with its clock at a time. */
async function restartAt(date) {
  assert.equal(await product.interrupt(), 0)
  const ahead = Math.round((date.getTime() - Date.now()) / 1000)
  product.settings = { ...mail.settings, LD_PRELOAD: join(folder, 'clock.so'), CHAOS_CLOCK_AHEAD_S: String(ahead) }
  await product.start()
}

async function mailsOf(kind) {
  return JSON.parse(await product.command(['mail', 'list', '--kind', kind, '--json']))
}

step('a workspace with sales of this month, a member, and an affiliate who came to the portal', async () => {
  await signIn(owner, 1)
  await owner.waitForURL(product.at('/welcome'))
  await owner.getByLabel('Name of your workspace').fill('Tiny Tools')
  await owner.getByLabel('Signing secret').fill(SECRET)
  await owner.getByRole('button', { name: 'Make the workspace' }).click()
  await owner.waitForURL(/\/tiny-tools\/connections/)
  const endpointUrl = await product.connect('tiny-tools', SECRET)
  await product.decide('tiny-tools', [...decisions(), { decide: 'affiliate', key: 'anna', email: annasAddress }])
  const at = new Date()
  month = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1))
  const created = Math.floor(at.getTime() / 1000)
  const sales = [
    paidInvoice({ code: 'ANNA20', price: 4900, off: 980, created }),
    paidInvoice({ code: 'BEN10', price: 70_000, off: 7_000, created }),
  ]
  for (const sale of sales) assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  await until(async () => {
    await owner.goto(product.at('/tiny-tools/dashboard?mode=live'))
    return words(owner.locator('.outcomes'))
  }, (text) => /2 credited/.test(text), 'both sales')
  await owner.goto(product.at('/tiny-tools/affiliates/anna'))
  await owner.getByRole('button', { name: 'Invite Anna Lind' }).click()
  await owner.waitForURL(/done=invited/)
  await anna.goto(linkIn(await mail.newest(annasAddress)))
  await anna.getByRole('button').click()
  await anna.waitForURL(product.at('/portal'))
})

step('her portal and the account say which mail comes, and keep what is chosen', async () => {
  await anna.getByText('E-mail that you get').click()
  assert.equal(await anna.getByLabel('Monthly summary', { exact: true }).inputValue(), 'monthly')
  await look(anna, 'portal-mail')
  await owner.goto(product.at('/account'))
  const setting = owner.getByLabel('Monthly summary of Tiny Tools', { exact: true })
  for (const choice of ['off', 'monthly']) {
    await setting.selectOption(choice)
    await owner.getByRole('button', { name: 'Save monthly summary of Tiny Tools' }).click()
    await until(async () => {
      await owner.goto(product.at('/account'))
      return setting.inputValue()
    }, (kept) => kept === choice, choice)
  }
  await look(owner, 'account-mail')
})

step('on the first at eight each gets the figures of the page, with a picture', async () => {
  const first = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1, 1, 8, 0, 1))
  await restartAt(first)
  const text = await mail.newest(ownersAddress, 2)
  assert.match(text, /Redemptions +2/)
  assert.match(text, /Revenue +669\.20/)
  assert.match(text, /Commission +133\.84/)
  assert.match(text, /Anna Lind: 1 redemption, commission 7\.84 USD/)
  const annas = await mail.newest(annasAddress, 2)
  assert.match(annas, /Revenue +39\.20/)
  assert.match(annas, /Commission +7\.84/)
  assert.doesNotMatch(annas, /Ben|669/)
  const message = await mail.newestMessage(ownersAddress, 2)
  assert.match(message, /^List-Unsubscribe-Post: List-Unsubscribe=One-Click\r?$/m)
  assert.match(message, /Content-Type: image\/png/)
  ownersLink = /^List-Unsubscribe: <(http:[^>]+)>/m.exec(message)[1]
  // The page that the mail leads to has the same figures.
  await owner.goto(text.match(/http:\S+dashboard\S+/)[0])
  assert.match(await words(owner.locator('main')), /669\.20 USD/)
  assert.match(await words(owner.locator('main')), /133\.84 USD/)
})

step('a restart on the same day sends nothing again', async () => {
  const before = await until(() => mailsOf('summary'), (list) => list.every(({ state }) => state === 'sent'), 'both are sent')
  assert.equal(before.length, 2)
  const noon = new Date(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1, 1, 12))
  await restartAt(noon)
  // It looks for what is due when it starts; what it wrote twice would be in the list.
  await owner.goto(product.at('/account'))
  assert.deepEqual((await mailsOf('summary')).map(({ id }) => id), before.map(({ id }) => id))
})

step('one click of a mail program ends it, without a session, and the page takes it back', async () => {
  const link = product.at(pathOf(ownersLink))
  const { page: stranger } = await person()
  await stranger.goto(link)
  assert.match(await words(stranger.locator('main')), /Monthly summary of Tiny Tools/)
  await look(stranger, 'unsubscribe')
  const answer = await fetch(link, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'List-Unsubscribe=One-Click',
    redirect: 'manual',
  })
  assert.equal(answer.status, 200)
  const setting = owner.getByLabel('Monthly summary of Tiny Tools', { exact: true })
  await owner.goto(product.at('/account'))
  assert.equal(await setting.inputValue(), 'off')
  await stranger.goto(link)
  assert.match(await words(stranger.locator('main')), /is off/)
  await look(stranger, 'unsubscribed')
  await stranger.getByRole('button', { name: 'Get them again' }).click()
  await stranger.getByRole('button', { name: 'Stop these mails' }).waitFor()
  await owner.goto(product.at('/account'))
  assert.equal(await setting.inputValue(), 'monthly')
  assert.equal((await fetch(product.at('/account/unsubscribe/0000'), { method: 'POST' })).status, 404)
})

step('no page complained', () => {
  assert.deepEqual(complaints, [])
})
