// One process without a mail server: mail is kept and shown, so that somebody who tries the product out gets in. With
// separate roles each process has a folder of its own, so they need a server.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { launch, openPage, until, words } from '../lib/browser.mjs'
import { Product } from '../lib/product.mjs'

let product, chromium, page, complaints

before(async () => {
  product = await new Product({ demo: false }).start()
  chromium = await launch()
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 } })
  ;({ page, complaints } = await openPage(context))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

test('the mail of a sign-in is read in the browser, and its link signs in', async () => {
  await page.goto(product.at('/sign-in'))
  await page.getByLabel('E-mail address').fill('maya@example.com')
  await page.getByRole('button', { name: 'Send me a link' }).click()
  await page.getByRole('link', { name: 'caught mail' }).click()
  const mail = page.locator('article', { hasText: 'maya@example.com' })
  await until(async () => {
    await page.reload()
    return mail.count()
  }, (count) => count === 1, 'the mail')
  assert.match(await words(mail), /Your link to sign in to AffiliTrack.*Sign in to AffiliTrack at 127\.0\.0\.1/)
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/caught-mail.png`, fullPage: true })
  await mail.getByRole('link').click()
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL(product.at('/welcome'))
  assert.deepEqual(complaints, [])
})
