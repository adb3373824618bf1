// One purchase, signed by the official SDK. Shared by the two scripts beside it.

import { randomBytes } from 'node:crypto'
import Stripe from 'stripe'

// The key is never used: only the webhook helper of the SDK is.
const stripe = new Stripe('sk_test_unused')

const accountPiece = '3vEqJzMu0O'
const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** An id as the provider makes them: prefix, the second in base 62, the account's piece, something random. */
function makeId(prefix, leadingDigit) {
  let rest = Math.floor(Date.now() / 1000)
  let second = ''
  for (let digit = 0; digit < 6; digit += 1) {
    second = base62[rest % 62] + second
    rest = Math.floor(rest / 62)
  }
  const random = [...randomBytes(8)].map((byte) => base62[byte % 62]).join('')
  return `${prefix}_${leadingDigit}${second.slice(1)}${accountPiece}${random}`
}

/**
 * A paid one-time Checkout session, as delivered.
 * `livemode` must be what the endpoint is for. Answers `{ businessKey, eventId, payload }`.
 */
export function makePurchase({ livemode = false, promotionCode = null } = {}) {
  const created = Math.floor(Date.now() / 1000)
  const paymentIntent = makeId('pi', '3')
  const eventId = makeId('evt', '1')
  const session = {
    id: `cs_${livemode ? 'live' : 'test'}_a1${randomBytes(28).toString('hex')}`,
    object: 'checkout.session',
    amount_subtotal: 4900,
    amount_total: 3920,
    client_reference_id: null,
    created,
    currency: 'usd',
    customer: null,
    customer_details: { email: 'buyer@example.com', name: 'Test Buyer', phone: null },
    discounts: promotionCode ? [{ coupon: null, promotion_code: promotionCode }] : [],
    invoice: null,
    invoice_creation: { enabled: false },
    livemode,
    metadata: {},
    mode: 'payment',
    payment_intent: paymentIntent,
    payment_status: 'paid',
    status: 'complete',
    subscription: null,
    total_details: { amount_discount: 980, amount_shipping: 0, amount_tax: 0 },
  }
  const event = {
    id: eventId,
    object: 'event',
    api_version: '2025-09-30.clover',
    created,
    data: { object: session },
    livemode,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type: 'checkout.session.completed',
  }
  return { businessKey: `pi:${paymentIntent}`, eventId, payload: JSON.stringify(event, null, 2) }
}

/** Signs with the SDK and delivers. Answers the HTTP status and the beginning of the body. */
export async function deliver(endpointUrl, secret, payload) {
  const header = stripe.webhooks.generateTestHeaderString({ payload, secret })
  const response = await fetch(endpointUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json; charset=utf-8', 'stripe-signature': header },
    body: payload,
    signal: AbortSignal.timeout(10_000),
  })
  const body = await response.text()
  return { status: response.status, body: body.slice(0, 300) }
}

/** A setting from the environment, or an end that says what to set. */
export function required(name, meaning) {
  const value = process.env[name]
  if (!value) {
    console.error(`${name} is not set: ${meaning}`)
    process.exit(2)
  }
  return value
}

export { numberOr } from './settings.mjs'
