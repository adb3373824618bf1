// Stripe events as Stripe sends them, signed by Stripe's own SDK.

import { randomBytes } from 'node:crypto'
import Stripe from 'stripe'

// The key is never used: only the webhook helper of the SDK is.
const stripe = new Stripe('sk_test_unused')

/** Code, promotion code and coupon of the two affiliates that `decisions` makes. */
export const CODES = {
  ANNA20: { promotionCode: 'promo_1Anna20', coupon: 'ANNA_20', affiliate: 'anna', name: 'Anna Lind' },
  BEN10: { promotionCode: 'promo_1Ben10', coupon: 'BEN_10', affiliate: 'ben', name: 'Ben Adeyemi' },
}

/** Two affiliates with a code each; 20 % for life, in UTC. */
export function decisions() {
  const people = Object.entries(CODES).flatMap(([code, { promotionCode, coupon, affiliate, name }]) => [
    { decide: 'affiliate', key: affiliate, name },
    { decide: 'map', provider: 'stripe', code, promotion_code_id: promotionCode, coupon_id: coupon, affiliate },
  ])
  return [
    { decide: 'policy', hold_days: 30, time_zone: 'UTC' },
    ...people,
    { decide: 'rule', scope: 'vendor', percent: '20', duration: 'life' },
  ]
}

const makeId = (prefix) => `${prefix}_1${randomBytes(12).toString('hex')}`
const now = () => Math.floor(Date.now() / 1000)

function event(type, object, { livemode, created }) {
  return {
    id: makeId('evt'),
    object: 'event',
    api_version: '2025-09-30.clover',
    created,
    data: { object },
    livemode,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type,
  }
}

/**
 * The first invoice of a subscription, paid. `code` is one of `CODES` or null, amounts are minor units.
 * Answers the event and the names by which the purchase can be found.
 */
export function paidInvoice({ code = 'ANNA20', price = 4900, off = 980, currency = 'usd', livemode = true, created = now() } = {}) {
  const invoice = makeId('in')
  const subscription = makeId('sub')
  const taken = code ? off : 0
  const discount = code && {
    id: makeId('di'),
    object: 'discount',
    promotion_code: CODES[code].promotionCode,
    source: { type: 'coupon', coupon: CODES[code].coupon },
    start: created,
    subscription,
  }
  const object = {
    id: invoice,
    object: 'invoice',
    amount_due: price - taken,
    amount_paid: price - taken,
    billing_reason: 'subscription_create',
    created,
    currency,
    customer: makeId('cus'),
    discounts: discount ? [discount] : [],
    livemode,
    parent: { type: 'subscription_details', subscription_details: { metadata: {}, subscription } },
    status: 'paid',
    status_transitions: { paid_at: created },
    subtotal: price,
    total: price - taken,
    total_discount_amounts: discount ? [{ amount: taken, discount: discount.id }] : [],
    total_taxes: [],
  }
  return { event: event('invoice.paid', object, { livemode, created }), invoice, key: `inv:${invoice}`, net: price - taken }
}

/** Signs with the SDK and delivers. Answers the status. */
export async function deliver(endpointUrl, secret, sent) {
  const payload = JSON.stringify(sent, null, 2)
  const header = stripe.webhooks.generateTestHeaderString({ payload, secret })
  const answer = await fetch(endpointUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json; charset=utf-8', 'stripe-signature': header },
    body: payload,
    signal: AbortSignal.timeout(60_000),
  })
  await answer.arrayBuffer()
  return answer.status
}
