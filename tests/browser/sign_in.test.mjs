// Signing in by mail: an address, a link that a scanner cannot use up, six digits, sessions that are listed and ended,
// and a workspace that belongs to the person who made it.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { launch, openPage, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { MailServer } from './lib/mail.mjs'
import { Product } from './lib/product.mjs'

let product, chromium, mail, maya, ben, complaints, mayasAddress, bensAddress

before(async () => {
  mail = MailServer.start()
  mayasAddress = mail.address('maya')
  bensAddress = mail.address('ben')
  product = await new Product({ demo: false, settings: mail.settings }).start()
  chromium = await launch()
  ;({ page: maya, complaints } = await person())
  ;({ page: ben } = await person())
})

after(async () => {
  await chromium?.close()
  await product?.end()
  mail?.end()
})

/** A browser of its own, without a session. */
async function person() {
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 } })
  return openPage(context, { expected: ['401', '404', '410', '422'] })
}

/** For people who want to see what the test sees: SHOTS=folder. */
async function shoot(page, name) {
  if (!process.env.SHOTS) return
  for (const [width, scheme] of [[390, 'light'], [768, 'dark'], [1440, 'light'], [390, 'dark']]) {
    await page.setViewportSize({ width, height: 800 })
    await page.emulateMedia({ colorScheme: scheme })
    await page.screenshot({ path: `${process.env.SHOTS}/${name}-${width}-${scheme}.png`, fullPage: true })
  }
  await page.setViewportSize({ width: 1280, height: 800 })
}

async function ask(page, email) {
  await page.goto(product.at('/sign-in'))
  await page.getByLabel('E-mail address').fill(email)
  await page.getByRole('button', { name: 'Send me a link' }).click()
  await page.getByLabel('Six digits').waitFor()
}

/** What mail number `count` to somebody says. */
async function newestMail(address, count = 1) {
  const text = await mail.newest(address, count)
  return { link: /http:\S+/.exec(text)[0], code: /asked for it: (\d{6})/.exec(text)[1] }
}

step('whoever has no session is led to the form', async () => {
  await maya.goto(product.at('/'))
  assert.match(await words(maya.locator('main')), /You are not signed in here/)
  await shoot(maya, 'not-signed-in')
  await maya.getByRole('link', { name: 'Sign in by e-mail' }).click()
  await maya.waitForURL(product.at('/sign-in'))
  await shoot(maya, 'sign-in')
})

step('what is no address is said beside the field', async () => {
  await maya.getByLabel('E-mail address').fill('.maya@example.com')
  await maya.getByRole('button', { name: 'Send me a link' }).click()
  await until(() => words(maya.locator('#email-error')), (text) => /not a mail name/.test(text), 'the error')
  assert.equal(await maya.getByLabel('E-mail address').inputValue(), '.maya@example.com')
})

step('the mail brings a link, and opening the link uses nothing up', async () => {
  await ask(maya, mayasAddress.toUpperCase())
  await shoot(maya, 'sign-in-code')
  const { link } = await newestMail(mayasAddress)
  const scanner = await person()
  for (let times = 0; times < 3; times++) await scanner.page.goto(link)
  await maya.goto(link)
  assert.match(await words(maya.locator('main')), new RegExp(`Sign in as ${mayasAddress}`))
  await shoot(maya, 'sign-in-link')
  await maya.getByRole('button', { name: 'Sign in' }).click()
  await maya.waitForURL(product.at('/welcome'))
  // Once.
  await ben.goto(link)
  assert.match(await words(ben.locator('main')), /This link has been used or is too old/)
})

step('the workspace belongs to her', async () => {
  await maya.getByLabel('Name of your workspace').fill('Tiny Tools')
  await maya.getByLabel('Signing secret').fill('whsec_browserTest0123456789')
  await maya.getByRole('button', { name: 'Make the workspace' }).click()
  await maya.waitForURL(/\/tiny-tools\/connections/)
  await maya.goto(product.at('/'))
  await maya.waitForURL(/\/tiny-tools\/dashboard/)
})

step('six digits sign in the browser that asked, and nobody sees what is not theirs', async () => {
  await ask(ben, bensAddress)
  const { code } = await newestMail(bensAddress)
  await ben.getByLabel('Six digits').fill(code === '000000' ? '111111' : '000000')
  await ben.getByRole('button', { name: 'Sign in' }).click()
  await until(() => words(ben.locator('#code-error')), (text) => /4 tries are left/.test(text), 'the error')
  await ben.getByLabel('Six digits').fill(`${code.slice(0, 3)} ${code.slice(3)}`)
  await ben.getByRole('button', { name: 'Sign in' }).click()
  await ben.waitForURL(product.at('/welcome'))
  for (const path of ['/tiny-tools/dashboard', '/tiny-tools/connections', '/tiny-tools/redemptions']) {
    assert.equal((await ben.goto(product.at(path))).status(), 404, path)
  }
  await ben.goto(product.at('/welcome'))
  await ben.getByLabel('Name of your workspace').fill('Tiny Tools')
  await ben.getByLabel('Signing secret').fill('whsec_anotherOne0123456789')
  await ben.getByRole('button', { name: 'Make the workspace' }).click()
  await until(() => words(ben.locator('#workspace-error')), (text) => /is taken/.test(text), 'the error')
})

step('a session on another machine is listed, and ends where she says so', async () => {
  const elsewhere = await person()
  await ask(elsewhere.page, mayasAddress)
  const { link } = await newestMail(mayasAddress, 2)
  await elsewhere.page.goto(link)
  await elsewhere.page.getByRole('button', { name: 'Sign in' }).click()
  await elsewhere.page.waitForURL(/\/tiny-tools\/dashboard/)
  await maya.goto(product.at('/account'))
  assert.equal(await maya.locator('.sessions > li').count(), 2)
  await shoot(maya, 'account')
  await maya.getByRole('button', { name: /^Sign out Chrome/ }).click()
  await until(() => maya.locator('.sessions > li').count(), (count) => count === 1, 'one session')
  assert.equal((await elsewhere.page.goto(product.at('/tiny-tools/dashboard'))).status(), 401)
  await maya.getByRole('button', { name: 'Sign out here' }).click()
  await maya.waitForURL(product.at('/sign-in'))
  assert.equal((await maya.goto(product.at('/tiny-tools/dashboard'))).status(), 401)
})

step('nothing was amiss on the way', async () => {
  const nobody = await person()
  assert.equal((await nobody.page.goto(product.at('/demo/mail'))).status(), 404, 'mail is sent, not shown')
  assert.deepEqual(complaints, [])
})
