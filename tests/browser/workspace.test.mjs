// The workspace itself: a demo of one's own at sign-up, leaving it, name and time zone, ending a connection, and deleting
// all of it.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { launch, openPage, until, waitForDemo, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { MailServer } from './lib/mail.mjs'
import { Product } from './lib/product.mjs'
import { deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_workspaceTest0123456789'

let product, chromium, mail, page, complaints, address, demoPath, endpoint

before(async () => {
  mail = MailServer.start()
  address = mail.address('maya')
  product = await new Product({ settings: mail.settings }).start()
  chromium = await launch()
  const context = await chromium.browser.newContext({ viewport: { width: 1280, height: 800 } })
  ;({ page, complaints } = await openPage(context, { expected: ['404', '422'] }))
})

after(async () => {
  await chromium?.close()
  await product?.end()
  mail?.end()
})

async function look(name) {
  for (const width of [390, 768, 1440]) {
    await page.setViewportSize({ width, height: 900 })
    const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
    assert.deepEqual(violations.map((each) => `${each.id}: ${each.nodes[0].target.join(' ')}`), [], `${name} at ${width}`)
    for (const colorScheme of process.env.SHOTS ? ['dark', 'light'] : []) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: `${process.env.SHOTS}/${name}-${width}-${colorScheme}.png`, fullPage: true })
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 })
}

async function signIn(count) {
  await page.goto(product.at('/sign-in'))
  await page.getByLabel('E-mail address').fill(address)
  await page.getByRole('button', { name: 'Send me a link' }).click()
  await page.getByLabel('Six digits').waitFor()
  await page.goto(/http:\S+/.exec(await mail.newest(address, count))[0])
  await page.getByRole('button', { name: 'Sign in' }).click()
}

const button = (name) => page.getByRole('button', { name, exact: true })
const main = () => words(page.locator('main'))

step('whoever signs up finds a demo of their own, which fills while they look', async () => {
  await signIn(1)
  await page.waitForURL(/\/demo-\d+\/dashboard/)
  demoPath = new URL(page.url()).pathname.split('/')[1]
  assert.match(await words(page.locator('.banner')), /Demo data/)
  await waitForDemo(page)
  // It is nobody else's: the operator is not shown it, and has the one that every start makes.
  const other = await chromium.browser.newContext()
  const operator = await other.newPage()
  await operator.goto(await product.login())
  await operator.waitForURL(/\/demo\/dashboard/)
  assert.doesNotMatch(await operator.content(), new RegExp(demoPath))
  await other.close()
})

step('leaving the demo removes it, and it does not come back', async () => {
  await page.getByRole('link', { name: 'Leave the demo' }).click()
  await page.waitForURL(/\/settings/)
  await look('workspace-demo')
  await button('Remove the demo').click()
  await page.waitForURL(product.at('/welcome'))
  assert.equal((await page.goto(product.at(`/${demoPath}/dashboard`))).status(), 404)
  await page.goto(product.at('/account'))
  await button('Sign out here').click()
  await signIn(2)
  await page.waitForURL(product.at('/welcome'))
})

step('a workspace gets another name and time zone', async () => {
  await page.getByLabel('Name of your workspace').fill('Tiny Tools')
  await page.getByLabel('Signing secret').fill(SECRET)
  await button('Make the workspace').click()
  await page.waitForURL(/\/tiny-tools\/connections/)
  endpoint = (await words(page.locator('.endpoint').first())).trim()
  await page.getByRole('link', { name: 'Workspace', exact: true }).click()
  await page.getByLabel('Name', { exact: true }).fill('')
  await button('Save').click()
  assert.match(await words(page.locator('#name-error')), /Give the workspace a name/)
  await look('workspace-wrong')
  await page.getByLabel('Name', { exact: true }).fill('Tiny & Tidy Tools')
  await page.getByLabel('Time zone', { exact: true }).selectOption('Pacific/Auckland')
  await button('Save').click()
  await page.waitForURL(/done=saved/)
  assert.equal(await page.getByLabel('Time zone', { exact: true }).inputValue(), 'Pacific/Auckland')
  assert.match(await words(page.locator('.vendor-name')), /Tiny & Tidy Tools/)
  await look('workspace')
})

step('a connection that is ended takes nothing more, and what it brought stays', async () => {
  // Nobody has the code, so the sale is organic.
  const sale = () => paidInvoice({ price: 10_000, off: 0 })
  assert.equal(await deliver(endpoint, SECRET, sale().event), 200)
  await page.goto(product.at('/tiny-tools/dashboard'))
  await until(async () => (await page.reload()) && main(), (text) => /100\.00/.test(text), 'the sale')
  await page.getByRole('link', { name: 'Connections', exact: true }).click()
  await page.getByRole('link', { name: 'Disconnect Stripe' }).click()
  await look('disconnect')
  await button('Disconnect Stripe').click()
  await page.waitForURL(/\/connections$/)
  assert.match(await main(), /Nothing is connected yet/)
  const refused = async () => deliver(endpoint, SECRET, sale().event)
  await until(refused, (status) => status === 404, 'an edge that refuses')
  await page.goto(product.at('/tiny-tools/dashboard'))
  assert.match(await main(), /100\.00/)
})

step('deleting the workspace needs its name, offers the figures first, and leaves nothing to see', async () => {
  await page.getByRole('link', { name: 'Workspace', exact: true }).click()
  const file = await page.request.get(product.at(await page.getByRole('link', { name: 'Payouts as CSV' }).getAttribute('href')))
  assert.equal(file.status(), 200)
  assert.match(file.headers()['content-type'], /text\/csv/)
  await page.getByLabel(/Type Tiny/).fill('tiny')
  await button('Delete the workspace').click()
  assert.match(await words(page.locator('#confirm-error')), /Type the name exactly/)
  await page.getByLabel(/Type Tiny/).fill('Tiny & Tidy Tools')
  await button('Delete the workspace').click()
  await page.waitForURL(product.at('/welcome'))
  for (const path of ['dashboard', 'settings', 'payouts.csv']) {
    assert.equal((await page.goto(product.at(`/tiny-tools/${path}`))).status(), 404, path)
  }
  // The name is free again, and what comes under it is new.
  await page.goto(product.at('/welcome'))
  await page.getByLabel('Name of your workspace').fill('Tiny Tools')
  await page.getByLabel('Signing secret').fill(SECRET)
  await button('Make the workspace').click()
  await page.waitForURL(/\/tiny-tools\/connections/)
  await page.goto(product.at('/tiny-tools/dashboard'))
  assert.doesNotMatch(await main(), /100\.00/)
  assert.deepEqual(complaints, [])
})
