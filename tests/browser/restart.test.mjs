// The process is stopped with ctrl-c and started again while a page is open.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { figure, launch, openPage, signIn, until, waitForDemo, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_restartTest0123456789'

let product, chromium, context, page, demoPage, complaints, endpointUrl
let demoBefore, rowsBefore

before(async () => {
  product = await new Product().start()
  chromium = await launch()
  context = await signIn(chromium.browser, product.openUrl)
  // While the process is away the browser says so.
  ;({ page, complaints } = await openPage(context, { expected: ['ERR_CONNECTION_REFUSED', 'ERR_INCOMPLETE_CHUNKED_ENCODING', 'ERR_EMPTY_RESPONSE', 'ERR_CONNECTION_RESET'] }))
  ;({ page: demoPage } = await openPage(context))
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

const liveText = () => words(page.locator('#live-text'))
const readDashboard = async (of) => [await words(of.locator('.figures')), await words(of.locator('.outcomes'))]

step('there are a demo and a workspace with three sales', async () => {
  await demoPage.goto(product.at('/demo/dashboard'))
  await waitForDemo(demoPage)
  endpointUrl = await product.connect('acme', SECRET)
  await product.decide('acme', decisions())
  await page.goto(product.at('/acme/dashboard?mode=live'))
  for (const code of ['ANNA20', 'BEN10', null]) {
    assert.equal(await deliver(endpointUrl, SECRET, paidInvoice({ code }).event), 200)
  }
  await until(() => words(page.locator('.outcomes')), (text) => /2 credited 1 organic/.test(text), 'outcomes')
  await until(() => figure(page, 'figure-commission-usd'), (amount) => amount === 784 + 784, 'commission')
  demoBefore = await readDashboard(demoPage)
  rowsBefore = await page.locator('#feed li').evaluateAll((rows) => rows.map((row) => row.innerText))
  await page.evaluate(() => { window.sameDocument = true })
})

step('ctrl-c ends it in order, and the open page says how old it is', async () => {
  assert.equal(await product.interrupt(), 0)
  await until(liveText, (text) => /^As of \d\d:\d\d$/.test(text), 'state of the page')
  assert.equal(await figure(page, 'figure-redemptions-count'), 2, 'what was read stays on the page')
})

step('started again, it keeps all data, session included, and the demo is not doubled', async (context) => {
  const began = Date.now()
  await product.start()
  context.diagnostic(`the second start took ${Date.now() - began} ms`)
  await demoPage.reload()
  await waitForDemo(demoPage)
  assert.deepEqual(await readDashboard(demoPage), demoBefore)
})

step('the open page catches up by itself', async () => {
  const sale = paidInvoice({ code: 'ANNA20', price: 2900, off: 580 })
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200, 'the endpoint is the same as before')
  await page.locator(`#feed [data-purchase="${sale.key}"]`).waitFor()
  await until(liveText, (text) => text === 'Live', 'state of the page')
  await until(() => figure(page, 'figure-commission-usd'), (amount) => amount === 784 + 784 + 464, 'commission')
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was not loaded again')
  const rows = await page.locator('#feed li').evaluateAll((list) => list.map((row) => row.innerText))
  assert.deepEqual(rows.slice(1), rowsBefore)
})

step('a page that lost its network catches up as well', async () => {
  await context.setOffline(true)
  await until(liveText, (text) => text !== 'Live', 'state without a network')
  const sale = paidInvoice({ code: 'BEN10' })
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  await context.setOffline(false)
  await page.locator(`#feed [data-purchase="${sale.key}"]`).waitFor()
  await until(liveText, (text) => text === 'Live', 'state with a network')
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints.filter((text) => !text.includes('ERR_INTERNET_DISCONNECTED')), [])
})
