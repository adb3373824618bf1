// Times the whole dashboard page, its body alone, and the JSON totals on a running product, over a kept connection:
// once after each new purchase (nothing kept fits any more) and once more (kept answers).
//
//   AFFILITRACK_URL=<one-time address> ENDPOINT_URL=... SECRET=whsec_... API_KEY=atk_... VENDOR=slug node pages.mjs
//
// Optional: REPETITIONS (100). The vendor's mode is live.

import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { deliver, makePurchase, numberOr, required } from '../../tests/measure/signed_delivery.mjs'

const openUrl = required('AFFILITRACK_URL', 'the one-time address that `affilitrack login` prints')
const endpointUrl = required('ENDPOINT_URL', 'the webhook URL that `affilitrack connect` printed')
const secret = required('SECRET', 'the signing secret given to `affilitrack connect`')
const apiKey = required('API_KEY', 'a key that `affilitrack api-key` printed')
const vendor = required('VENDOR', 'whose pages')
const repetitions = numberOr('REPETITIONS', 100)
const warmUp = 5

const base = new URL(openUrl).origin
const authorization = { authorization: `Bearer ${apiKey}` }

async function openSession() {
  const answer = await fetch(openUrl, { redirect: 'manual' })
  const cookie = answer.headers.getSetCookie().map((one) => one.split(';')[0])
  if (cookie.length === 0) throw new Error(`${openUrl.split('?')[0]} answered ${answer.status} without a session`)
  return { cookie: cookie.join('; ') }
}

/** Milliseconds until the whole answer is there. */
async function timed(path, headers) {
  const started = performance.now()
  const answer = await fetch(base + path, { headers })
  const body = await answer.text()
  const took = performance.now() - started
  if (answer.status !== 200 || body.length === 0) throw new Error(`${path} answered ${answer.status}: ${body.slice(0, 200)}`)
  return took
}

/** One more purchase, readable. */
async function change() {
  const { status, body } = await deliver(endpointUrl, secret, makePurchase({ livemode: true }).payload)
  if (status !== 200) throw new Error(`a delivery was answered ${status}: ${body}`)
  for (let tries = 0; tries < 200; tries += 1) {
    // A key may ask 600 times a minute.
    await wait(150)
    const answer = await fetch(`${base}/api/v1/status`, { headers: authorization })
    if (answer.status === 200 && (await answer.json()).settled) return
    if (answer.status === 429) await wait(1000)
  }
  throw new Error('the purchase did not become readable')
}

const at = (sorted, share) => `${sorted[Math.ceil(sorted.length * share) - 1].toFixed(1)} ms`

const session = await openSession()
const page = `/${vendor}/dashboard?mode=live&range=60d`
const ways = [
  ['Dashboard page, whole HTTP answer', page, session],
  ['Dashboard body alone, as live pages fetch it', `${page}&fragment=1`, session],
  ['GET /api/v1/totals by affiliate', '/api/v1/totals?group=affiliate', authorization],
]
for (const [name, path, headers] of ways) {
  const cold = []
  const warm = []
  for (let number = 0; number < warmUp + repetitions; number += 1) {
    await change()
    const first = await timed(path, headers)
    const second = await timed(path, headers)
    if (number >= warmUp) {
      cold.push(first)
      warm.push(second)
    }
    // What the insert left to do should not meet the next round.
    await wait(200)
  }
  for (const [words, values] of [
    ['after a change', cold],
    ['kept', warm],
  ]) {
    values.sort((one, other) => one - other)
    console.log(`RESULT ${name}, ${words}: p50 ${at(values, 0.5)}, p95 ${at(values, 0.95)} (${values.length} times, live product)`)
  }
}
