// Stripe's interface is reached over TLS: an authority that is known, and one that is not. No browser takes part.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { createServer } from 'node:https'
import { Authority } from './lib/authority.mjs'
import { until } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { CODES, decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_lookupsTest0123456789'
const KEY = 'rk_test_x'

/** What was asked, and what Stripe would answer. */
const asked = []
const answers = new Map()

let trusted, stranger, server, product, endpointUrl

/** An invoice as its event brings it, its discount by id only; the whole one is what Stripe answers. */
function invoiceWithUnnamedDiscount() {
  const sale = paidInvoice({ code: 'ANNA20', price: 4900, off: 980, livemode: false })
  const whole = sale.event.data.object
  answers.set(`/v1/invoices/${sale.invoice}`, whole)
  const object = { ...whole, discounts: whole.discounts.map((discount) => discount.id) }
  return { ...sale, event: { ...sale.event, data: { object } } }
}

function answer(request, response) {
  const path = new URL(request.url, 'https://stripe.test').pathname
  asked.push({ path, authorization: request.headers.authorization })
  const found = answers.get(path)
  response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' })
  response.end(JSON.stringify(found ?? { error: { type: 'invalid_request_error', message: 'No such object' } }))
}

before(async () => {
  trusted = new Authority('Known authority')
  stranger = new Authority('Unknown authority')
  server = createServer(trusted.serverPair(), answer)
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  product = await new Product({ demo: false, settings: { SSL_CERT_FILE: trusted.file } }).start()
  const base = `https://127.0.0.1:${server.address().port}`
  endpointUrl = await product.connect('tiny-tools', SECRET, '--key', KEY, '--api-base', base, '--complete-history')
  await product.decide('tiny-tools', decisions())
})

after(async () => {
  await product?.end()
  server?.closeAllConnections()
  server?.close()
  trusted?.end()
  stranger?.end()
})

const purchase = (sale) => product.read('tiny-tools', 'test', `purchases/${encodeURIComponent(sale.key)}`)

step('what an event leaves out is asked over TLS, and the figure comes right', async () => {
  const sale = invoiceWithUnnamedDiscount()
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  const found = await until(() => purchase(sale), (each) => each?.outcome === 'credited', 'the purchase')
  assert.equal(found.affiliate, CODES.ANNA20.affiliate)
  assert.equal(found.net_minor, 3920)
  assert.equal(found.commission_minor, 784)
  assert.deepEqual(asked[0], { path: `/v1/invoices/${sale.invoice}`, authorization: `Bearer ${KEY}` })
})

step('a certificate that nobody vouches for is refused in words, and no key is sent', async () => {
  server.setSecureContext(stranger.serverPair())
  server.closeAllConnections()
  const before = asked.length
  const sale = invoiceWithUnnamedDiscount()
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  await until(() => product.log, (log) => /a look-up will be tried again: .*certificate/.test(log), 'the log')
  const found = await until(() => purchase(sale), (each) => each !== undefined, 'the purchase')
  assert.equal(found.outcome, 'waiting')
  assert.equal(found.commission_minor, 0)
  assert.equal(asked.length, before)

  // The provider's certificate is right again: the question is still open and is asked once more.
  server.setSecureContext(trusted.serverPair())
  const later = await until(() => purchase(sale), (each) => each.outcome === 'credited', 'the purchase')
  assert.equal(later.commission_minor, 784)
})
