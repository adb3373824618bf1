// What goes wrong is said where it went wrong.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { launch, openPage, signIn, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'

let product, chromium, page, complaints

before(async () => {
  product = await new Product().start()
  chromium = await launch()
  const context = await signIn(chromium.browser, product.openUrl)
  // A refused form is an answer with an error status; Chromium notes each.
  ;({ page, complaints } = await openPage(context, { expected: ['the server responded with a status of 4'] }))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

const workspace = () => page.getByLabel('Name of your workspace')
const secret = () => page.getByLabel('Signing secret')
const key = () => page.getByLabel('Restricted key')

async function send(values) {
  await page.goto(product.at('/demo/connections'))
  await workspace().fill(values.workspace ?? 'Tiny Tools')
  await secret().fill(values.secret ?? 'whsec_browserTest0123456789')
  await key().fill(values.key ?? '')
  await page.getByRole('button', { name: 'Connect Stripe' }).click()
}

/** The field says that it is wrong, to eyes and to screen readers. */
async function assertRefused(field, message) {
  assert.match(await words(page.locator('.field', { has: field }).locator('.error')), message)
  assert.equal(await field.getAttribute('aria-invalid'), 'true')
  const describedBy = (await field.getAttribute('aria-describedby')).split(' ')
  const told = await Promise.all(describedBy.map((id) => words(page.locator(`#${id}`))))
  assert.match(told.join(' '), message)
}

step('an empty secret is not even sent', async () => {
  await page.goto(product.at('/demo/connections'))
  await workspace().fill('Tiny Tools')
  await page.getByRole('button', { name: 'Connect Stripe' }).click()
  assert.equal(await secret().evaluate((field) => field.validity.valueMissing), true)
  assert.equal(await secret().evaluate((field) => field === document.activeElement), true)
})

step('a blank secret is asked for beside the field, and what was typed is kept', async () => {
  await send({ secret: '   ', key: 'rk_test_kept' })
  await assertRefused(secret(), /Paste the signing secret of the webhook endpoint/)
  assert.equal(await workspace().inputValue(), 'Tiny Tools')
  assert.equal(await key().inputValue(), 'rk_test_kept')
  assert.equal(await page.locator('.has-error').count(), 1)
})

step('a key in the place of the secret is recognised', async () => {
  await send({ secret: 'sk_live_abcdefghij' })
  await assertRefused(secret(), /This is an API key/)
  await send({ secret: 'something else' })
  await assertRefused(secret(), /A signing secret starts with whsec_/)
})

step('an all-powerful key is refused', async () => {
  await send({ key: 'sk_live_abcdefghij' })
  await assertRefused(key(), /Make a restricted key with read access/)
})

step('a workspace needs a name of its own', async () => {
  await send({ workspace: '  ' })
  await assertRefused(workspace(), /Give the workspace a name/)
  await send({ workspace: 'Demo' })
  await assertRefused(workspace(), /belongs to the application/)
  await product.connect('acme', 'whsec_acme0123456789')
  await send({ workspace: 'Acme' })
  await assertRefused(workspace(), /There is a workspace of this name already/)
})

step('several mistakes are told at once', async () => {
  await send({ workspace: ' ', secret: 'rk_1', key: 'pk_1' })
  assert.equal(await page.locator('.has-error').count(), 3)
})

step('a form that was not made by this session is refused', async () => {
  await page.goto(product.at('/demo/connections'))
  await page.locator('#connect input[name="csrf"]').evaluate((field) => { field.value = 'somebody-elses' })
  await workspace().fill('Tiny Tools')
  await secret().fill('whsec_browserTest0123456789')
  await page.getByRole('button', { name: 'Connect Stripe' }).click()
  await page.getByRole('heading', { name: 'This form is no longer valid' }).waitFor()
})

step('without a session every page says how to get in', async () => {
  const stranger = await chromium.browser.newContext()
  const { page: strange } = await openPage(stranger)
  for (const path of ['/', '/demo/dashboard', '/demo/redemptions', '/demo/connections', '/demo/purchases/inv%3Ain_demo_1']) {
    assert.equal((await strange.goto(product.at(path))).status(), 401, path)
    assert.match(await words(strange.locator('main')), /You are not signed in here.*affilitrack login/)
  }
  assert.equal((await stranger.request.get(product.at('/demo/live?mode=live'))).status(), 401)
  await stranger.close()
})

step('an address that leads nowhere says so and leads back', async () => {
  for (const path of ['/nothing', '/somebody-else/dashboard', '/demo/purchases/inv%3Anone']) {
    assert.equal((await page.goto(product.at(path))).status(), 404, path)
    assert.match(await words(page.locator('main')), /There is nothing at this address/)
  }
  await page.getByRole('link', { name: 'Go to the dashboard' }).click()
  await page.waitForURL(/\/dashboard/)
})

step('a range that cannot be used is named', async () => {
  assert.equal((await page.goto(product.at('/demo/dashboard?range=31d'))).status(), 400)
  assert.match(await words(page.locator('main')), /Use one of today, 7d, 30d, 60d, 90d, 12m/)
  assert.equal((await page.goto(product.at('/demo/dashboard?from=2026-11-20&to=2026-11-01'))).status(), 400)
})

step('nothing else was complained about', () => {
  assert.deepEqual(complaints, [])
})
