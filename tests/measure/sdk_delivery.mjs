// Delivers one purchase signed by the official Stripe Node SDK and prints the status code.
//
//   ENDPOINT_URL=http://127.0.0.1:8080/webhooks/stripe/... SECRET=whsec_... node sdk_delivery.mjs
//
// LIVEMODE=1 for an endpoint of live mode, PROMOTION_CODE=promo_... for a purchase with a code.
// Ends with 1 if the status is not 2xx.

import { deliver, makePurchase, required } from './signed_delivery.mjs'

const endpointUrl = required('ENDPOINT_URL', 'the webhook URL that `affilitrack connect` printed')
const secret = required('SECRET', 'the signing secret given to `affilitrack connect`')

const purchase = makePurchase({
  livemode: process.env.LIVEMODE === '1',
  promotionCode: process.env.PROMOTION_CODE || null,
})
const { status, body } = await deliver(endpointUrl, secret, purchase.payload)
console.log(status)
console.log(`${purchase.eventId} ${purchase.businessKey}`)
if (status < 200 || status > 299) {
  console.error(body)
  process.exit(1)
}
