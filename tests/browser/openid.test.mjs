// Signing in with an OpenID provider, at a real one.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { launch, openPage, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { MailServer } from './lib/mail.mjs'
import { OpenIdServer } from './lib/openid.mjs'
import { Product } from './lib/product.mjs'

let product, chromium, mail, provider, addresses

before(async () => {
  mail = MailServer.start()
  addresses = { maya: mail.address('maya'), ben: mail.address('ben') }
  provider = await new OpenIdServer({
    maya: { sub: 'maya', email: addresses.maya, email_verified: true },
    ben: { sub: 'ben', email: addresses.ben, email_verified: false },
  }).start()
  product = await new Product({ demo: false, settings: { ...mail.settings, ...provider.settings } }).start()
  provider.serve(product.at('/sign-in/openid/callback'))
  chromium = await launch()
})

after(async () => {
  await chromium?.close()
  await product?.end()
  await provider?.end()
  mail?.end()
})

/** A browser of its own, without a session. */
async function person() {
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 } })
  return openPage(context, { expected: ['401', '422', '429'] })
}

/** Through the provider's own page. */
async function atProvider(page, name) {
  await page.goto(product.at('/sign-in'))
  await page.getByRole('link', { name: 'Continue with Example ID' }).click()
  await page.getByLabel('Who are you?').fill(name)
  await page.getByRole('button', { name: 'Go on' }).click()
}

/** The same without a window: where the provider would send the browser back to. */
async function answerFor(request, name) {
  const step = async (method, url, form) => {
    const answer = await request.fetch(url, { method, form, maxRedirects: 0 })
    return new URL(answer.headers().location, url).href
  }
  const interaction = await step('GET', await step('GET', product.at('/sign-in/openid')))
  return step('GET', await step('POST', interaction, { name }))
}

const complaint = (page) => until(() => words(page.locator('[role=alert]')), Boolean, 'the words of a failed sign-in')

step('the sign-in page offers the provider beside the mail', async () => {
  const { page, complaints } = await person()
  await page.goto(product.at('/sign-in'))
  for (const [width, scheme] of [[390, 'light'], [1440, 'dark']]) {
    await page.setViewportSize({ width, height: 800 })
    await page.emulateMedia({ colorScheme: scheme })
    assert.deepEqual((await new AxeBuilder({ page }).setLegacyMode().analyze()).violations, [])
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/openid-${width}-${scheme}.png` })
  }
  assert.deepEqual(complaints, [])
})

step('whom the provider knows is signed in, and is who reads the mail of the address', async () => {
  const { page, complaints } = await person()
  await atProvider(page, 'maya')
  await page.waitForURL(product.at('/welcome'))
  await page.goto(product.at('/account'))
  assert.match(await words(page.locator('main')), new RegExp(addresses.maya))
  // Nothing of the way there is left in the browser.
  const names = (await page.context().cookies(product.at('/'))).map((cookie) => cookie.name)
  assert.equal(names.filter((name) => name.endsWith('_openid')).length, 0)

  const other = await person()
  await other.page.goto(product.at('/sign-in'))
  await other.page.getByLabel('E-mail address').fill(addresses.maya)
  await other.page.getByRole('button', { name: 'Send me a link' }).click()
  await other.page.goto(/http:\S+/.exec(await mail.newest(addresses.maya))[0])
  await other.page.getByRole('button', { name: 'Sign in' }).click()
  await other.page.waitForURL(product.at('/welcome'))
  await other.page.goto(product.at('/account'))
  assert.equal(await other.page.locator('.sessions > li').count(), 2)
  assert.deepEqual(complaints, [])
})

step('an address that the provider has not verified has to be proved by mail', async () => {
  const { page } = await person()
  await atProvider(page, 'ben')
  assert.match(await complaint(page), new RegExp(`cannot vouch that ${addresses.ben} is yours`))
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/openid-by-mail.png` })
  assert.equal(await page.getByLabel('E-mail address').inputValue(), addresses.ben)
  assert.equal((await page.goto(product.at('/account'))).status(), 401)
})

step('whoever says no at the provider is where they began', async () => {
  const { page } = await person()
  await atProvider(page, 'nobody')
  assert.match(await complaint(page), /did not sign you in/)
  assert.equal((await page.goto(product.at('/account'))).status(), 401)
})

step('an answer opens nothing in a browser that did not begin, and nothing twice', async () => {
  const [begun, other] = [await person(), await person()]
  const answer = await answerFor(begun.page.context().request, 'maya')
  await other.page.goto(answer)
  assert.match(await complaint(other.page), /did not sign you in/)
  assert.equal((await other.page.goto(product.at('/account'))).status(), 401)

  await begun.page.goto(answer)
  await begun.page.waitForURL(product.at('/welcome'))
  await begun.page.goto(answer)
  assert.match(await complaint(begun.page), /did not sign you in/)
})

step('a provider that is away is said, and mail still works', async () => {
  await provider.end()
  const { page } = await person()
  await page.goto(product.at('/sign-in'))
  // Its addresses are known for an hour, so the browser itself meets the silence; a fresh process says it in words.
  await product.interrupt()
  await product.start()
  await page.goto(product.at('/sign-in'))
  await page.getByRole('link', { name: 'Continue with Example ID' }).click()
  assert.match(await complaint(page), /Example ID does not answer/)
  await page.getByLabel('E-mail address').fill(addresses.maya)
  await page.getByRole('button', { name: 'Send me a link' }).click()
  await page.getByLabel('Six digits').waitFor()
})

step('nobody can try to sign in again and again', async () => {
  // Each process that shows pages counts for itself.
  const tries = []
  for (let count = 0; count < 300; count++) {
    const answer = await fetch(product.at('/sign-in/code'), { method: 'POST', body: new URLSearchParams({ code: '1' }) })
    tries.push(answer.status)
    if (answer.status === 429) {
      assert.match(await answer.text(), /Too many tries to sign in/)
      assert.ok(Number(answer.headers.get('retry-after')) >= 1)
      break
    }
  }
  assert.equal(tries.at(-1), 429, tries.join(' '))
  const { page } = await person()
  assert.equal((await page.goto(product.at('/sign-in'))).status(), 200, 'the form itself can be read')
})
