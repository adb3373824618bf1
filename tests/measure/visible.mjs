// Measures how long a purchase takes from being sent to being seen on the open dashboard:
// signed by the official Stripe Node SDK, watched in a real Chromium page.
//
//   AFFILITRACK_URL='http://127.0.0.1:8080/open?token=...'   one-time address of the dashboard
//   ENDPOINT_URL=http://127.0.0.1:8080/webhooks/stripe/...   SECRET=whsec_...
//   node visible.mjs
//
// The page shows the vendor of the endpoint (PAGE_PATH if that is another page than the one the
// address opens). Optional: DELIVERIES (200), PER_SECOND (20), LIVEMODE=1, PROMOTION_CODE=promo_...,
// CHROMIUM. Prints p50, p95 and max; ends with 1 if a purchase was not seen within 10 s, or if
// p95 is above MAX_P95_MS when that is given.

import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { chromium } from 'playwright-core'
import { deliver, makePurchase, numberOr, required } from './signed_delivery.mjs'

const SEEN_WITHIN_MS = 10_000
const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

const dashboardUrl = required('AFFILITRACK_URL', 'the one-time address that `affilitrack login` prints')
const endpointUrl = required('ENDPOINT_URL', 'the webhook URL that `affilitrack connect` printed')
const secret = required('SECRET', 'the signing secret given to `affilitrack connect`')
const deliveries = numberOr('DELIVERIES', 200)
const perSecond = numberOr('PER_SECOND', 20)
const maxP95 = numberOr('MAX_P95_MS', Number.MAX_SAFE_INTEGER)
const purchaseOptions = { livemode: process.env.LIVEMODE === '1', promotionCode: process.env.PROMOTION_CODE || null }

/** Runs in the page: notes when each `data-purchase` was first there, on the clock of the machine. */
function watchPurchases() {
  const seen = {}
  window.seenPurchases = seen
  const note = (element) => {
    const key = element.dataset.purchase
    if (key && !(key in seen)) seen[key] = performance.timeOrigin + performance.now()
  }
  const look = (node) => {
    if (node?.nodeType !== Node.ELEMENT_NODE) return
    if (node.matches('[data-purchase]')) note(node)
    node.querySelectorAll('[data-purchase]').forEach(note)
  }
  // Before the first element is parsed there is no root yet.
  look(document.documentElement)
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === 'attributes') note(change.target)
      change.addedNodes.forEach(look)
    }
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-purchase'] })
}

const now = () => performance.timeOrigin + performance.now()

/** Sends everything at the given rate and answers business key -> { sentAt, answeredAt, status }. */
async function sendAll() {
  const sent = new Map()
  const start = now()
  const underWay = []
  for (let number = 0; number < deliveries; number += 1) {
    await wait(Math.max(0, start + (number * 1000) / perSecond - now()))
    const purchase = makePurchase(purchaseOptions)
    const entry = { sentAt: now(), answeredAt: null, status: null }
    sent.set(purchase.businessKey, entry)
    const delivery = deliver(endpointUrl, secret, purchase.payload).then(
      ({ status }) => Object.assign(entry, { status, answeredAt: now() }),
      (error) => Object.assign(entry, { status: error.message }),
    )
    underWay.push(delivery)
  }
  await Promise.all(underWay)
  return sent
}

/** Waits until every purchase was seen or its time is up. */
async function waitUntilSeen(page, sent) {
  const lastSent = Math.max(...[...sent.values()].map((entry) => entry.sentAt))
  for (;;) {
    const seen = await page.evaluate(() => window.seenPurchases)
    const missing = [...sent.keys()].filter((key) => !(key in seen))
    if (missing.length === 0 || now() > lastSent + SEEN_WITHIN_MS) return { seen, missing }
    await wait(50)
  }
}

function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0
}

function describe(name, values) {
  const sorted = [...values].sort((one, other) => one - other)
  if (sorted.length === 0) {
    console.log(`${name}: none of ${deliveries}`)
    return 0
  }
  const text = [0.5, 0.95, 1].map((share) => `${Math.round(quantile(sorted, share))} ms`)
  console.log(`${name}: p50 ${text[0]}, p95 ${text[1]}, max ${text[2]} (${sorted.length} of ${deliveries})`)
  return quantile(sorted, 0.95)
}

function report(sent, seen) {
  const refused = [...sent.values()].filter((entry) => !(entry.status >= 200 && entry.status <= 299))
  const late = []
  const delays = []
  for (const [key, entry] of sent) {
    if (!(key in seen) || seen[key] - entry.sentAt > SEEN_WITHIN_MS) late.push(key)
    if (key in seen) delays.push(seen[key] - entry.sentAt)
  }
  describe('answered', [...sent.values()].filter((entry) => entry.answeredAt).map((entry) => entry.answeredAt - entry.sentAt))
  const p95 = describe('visible', delays)
  if (refused.length > 0) console.log(`${refused.length} deliveries were not accepted, the first with: ${refused[0].status}`)
  if (late.length > 0) console.log(`${late.length} purchases were not seen within 10 s, the first: ${late[0]}`)
  if (p95 > maxP95) console.log(`p95 is above ${maxP95} ms`)
  return refused.length === 0 && late.length === 0 && p95 <= maxP95
}

async function measure() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: CHROMIUM_FLAGS,
  })
  try {
    const page = await browser.newPage()
    await page.addInitScript(watchPurchases)
    const answer = await page.goto(dashboardUrl, { waitUntil: 'load' })
    if (!answer?.ok()) throw new Error(`the dashboard answered ${answer?.status()}; a one-time address works once`)
    if (process.env.PAGE_PATH) await page.goto(new URL(process.env.PAGE_PATH, dashboardUrl).href, { waitUntil: 'load' })
    await wait(1000)
    const sent = await sendAll()
    const { seen } = await waitUntilSeen(page, sent)
    return report(sent, seen)
  } finally {
    await browser.close()
  }
}

process.exitCode = (await measure()) ? 0 : 1
