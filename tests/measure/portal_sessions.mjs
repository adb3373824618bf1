// Measures the affiliates' portal with many sessions open at once: each has its live stream and fetches its figures
// again when it hears of a sale, as the page's script does, while pages are opened at a steady rate and sales arrive.
//
//   AFFILITRACK_BIN=.../affilitrack node portal_sessions.mjs
//
// It starts the product with a folder of its own and ends it by its process id. Optional: SESSIONS (200), SECONDS (60),
// PAGES_PER_SECOND (40), SALES_PER_SECOND (5), SALES_BEFORE (2000). Prints p50, p95, p99 of whole pages and of bodies that
// were fetched again, and how many queries a second reached the engine, by name, out of the product's own metrics.
// Ends with 1 if an answer failed, a stream broke, or p95 of the pages is above MAX_P95_MS when that is given.

import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { Product } from '../browser/lib/product.mjs'
import { CODES, deliver, paidInvoice } from '../browser/lib/stripe.mjs'
import { numberOr } from './settings.mjs'

const SECRET = 'whsec_portalSessions0123456789'
const SHORTEST_GAP_MS = 250
const READY_WITHIN_MS = 120_000

const sessions = numberOr('SESSIONS', 200)
const seconds = numberOr('SECONDS', 60)
const pagesPerSecond = numberOr('PAGES_PER_SECOND', 40)
const salesPerSecond = numberOr('SALES_PER_SECOND', 5)
const salesBefore = numberOr('SALES_BEFORE', 2_000)
const maxP95 = numberOr('MAX_P95_MS', Number.MAX_SAFE_INTEGER)

const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const failures = []
const handle = (number) => `aff_${number}`
const anyOf = (list) => list[Math.floor(Math.random() * list.length)]

/** A request as a browser with this cookie sends it. Answers status, headers, body and milliseconds to the last byte. */
function ask(product, path, { cookie = '', form = null, etag = '' } = {}) {
  const begun = performance.now()
  const body = form ? new URLSearchParams(form).toString() : null
  const headers = { cookie, 'accept-encoding': 'identity', ...(etag ? { 'if-none-match': etag } : {}) }
  if (body !== null) {
    headers['content-type'] = 'application/x-www-form-urlencoded'
    headers['content-length'] = Buffer.byteLength(body)
    headers.origin = product.at('')
  }
  return new Promise((answer, refuse) => {
    const sent = request(product.at(path), { agent, method: body === null ? 'GET' : 'POST', headers, timeout: 30_000 }, (response) => {
      const pieces = []
      response.on('data', (piece) => pieces.push(piece))
      response.on('end', () => {
        const text = Buffer.concat(pieces).toString('utf8')
        answer({ status: response.statusCode, headers: response.headers, text, ms: performance.now() - begun })
      })
      response.on('error', refuse)
    })
    sent.on('timeout', () => sent.destroy(new Error(`${path} took longer than 30 s`)))
    sent.on('error', refuse)
    sent.end(body)
  })
}

const cookieOf = (answer) => (answer.headers['set-cookie'] ?? []).map((line) => line.split(';')[0]).join('; ')

async function until(read, isDone, what) {
  const end = performance.now() + READY_WITHIN_MS
  for (;;) {
    const value = await read()
    if (isDone(value)) return value
    if (performance.now() > end) throw new Error(`${what}: still ${JSON.stringify(value).slice(0, 200)} after ${READY_WITHIN_MS / 1000} s`)
    await wait(200)
  }
}

/** A vendor with an affiliate and a code for each session, and sales before anything is measured. */
async function fill(product) {
  const endpointUrl = await product.connect('acme', SECRET)
  const decisions = [{ decide: 'policy', hold_days: 30, time_zone: 'Europe/Berlin' }]
  for (let number = 0; number < sessions; number += 1) {
    const code = `CODE${number}`
    CODES[code] = { promotionCode: `promo_${number}`, coupon: `coupon_${number}`, affiliate: handle(number), name: `Affiliate ${number}` }
    decisions.push(
      { decide: 'affiliate', key: handle(number), name: CODES[code].name, email: `a${number}@example.com` },
      { decide: 'map', provider: 'stripe', code, promotion_code_id: CODES[code].promotionCode, affiliate: handle(number) },
    )
  }
  await product.decide('acme', decisions)
  const now = Math.floor(Date.now() / 1000)
  for (let done = 0; done < salesBefore; done += 20) {
    const created = () => now - Math.floor(Math.random() * 60 * 86_400)
    const batch = Array.from({ length: Math.min(20, salesBefore - done) }, () => sell(endpointUrl, created()))
    await Promise.all(batch)
  }
  return endpointUrl
}

async function sell(endpointUrl, created) {
  const sale = paidInvoice({ code: `CODE${Math.floor(Math.random() * sessions)}`, price: 4_900, off: 980, ...(created ? { created } : {}) })
  const status = await deliver(endpointUrl, SECRET, sale.event).catch((error) => error.message)
  if (status !== 200) failures.push(`a delivery was answered ${status}`)
}

/** Invites every affiliate, and opens the link of each mail. Answers the cookies. */
async function openSessions(product) {
  const cookie = cookieOf(await ask(product, product.openUrl.slice(product.at('').length)))
  for (let number = 0; number < sessions; number += 1) {
    const page = await ask(product, `/acme/affiliates/${handle(number)}?mode=live`, { cookie })
    const [, csrf] = /name="csrf" value="([^"]+)"/.exec(page.text)
    const invited = await ask(product, `/acme/affiliates/${handle(number)}/invitation?mode=live`, { cookie, form: { csrf } })
    if (invited.status !== 303) throw new Error(`affiliate ${number} could not be invited: ${invited.status}`)
  }
  const folder = join(product.folder, 'mail')
  const mails = await until(() => readdirSync(folder).filter((name) => name.endsWith('.eml')), (names) => names.length >= sessions, 'mails')
  const links = mails.map((name) => readFileSync(join(folder, name), 'utf8').replace(/=\r?\n/g, '').match(/\/portal\/link\/[\w-]+/)[0])
  const opened = []
  for (const link of new Set(links)) {
    const entered = await ask(product, link, { form: {} })
    if (entered.status !== 303) throw new Error(`a link could not be used: ${entered.status}`)
    opened.push(cookieOf(entered))
  }
  return opened
}

/** One open portal page: its stream, and what it fetches again when it hears something. */
class OpenPage {
  constructor(product, cookie, times) {
    Object.assign(this, { product, cookie, times, busy: false, again: false, fetchedAt: -Infinity, isClosing: false })
  }

  async open() {
    const page = await ask(this.product, '/portal', { cookie: this.cookie })
    this.refresh = /data-refresh="([^"]+)"/.exec(page.text)[1].replaceAll('&#38;', '&').replaceAll('&amp;', '&')
    this.etag = /data-etag="([^"]+)"/.exec(page.text)[1].replaceAll('&#34;', '"').replaceAll('&quot;', '"')
    await new Promise((ready, refuse) => {
      this.stream = request(this.product.at('/portal/live'), { headers: { cookie: this.cookie } }, (response) => {
        if (response.statusCode !== 200) return refuse(new Error(`a stream was answered ${response.statusCode}`))
        response.setEncoding('utf8').on('data', (text) => text.includes('event: moved') && this.heard())
        response.on('close', () => !this.isClosing && failures.push('a stream broke'))
        ready()
      })
      this.stream.on('error', (error) => (this.isClosing ? null : refuse(error)))
      this.stream.end()
    })
  }

  async heard() {
    this.again = true
    if (this.busy) return
    this.busy = true
    while (this.again && !this.isClosing) {
      this.again = false
      await wait(Math.max(0, this.fetchedAt + SHORTEST_GAP_MS - performance.now()))
      this.fetchedAt = performance.now()
      try {
        const answer = await ask(this.product, this.refresh, { cookie: this.cookie, etag: this.etag })
        if (answer.status === 200) this.etag = answer.headers.etag
        else if (answer.status !== 304) failures.push(`a body was answered ${answer.status}`)
        this.times.push(answer.ms)
      } catch (error) {
        failures.push(error.message)
      }
    }
    this.busy = false
  }

  close() {
    this.isClosing = true
    this.stream.destroy()
  }
}

/** How many queries reached the engine so far, by name. */
async function queries(product) {
  const { text } = await ask(product, '/metrics')
  const found = text.matchAll(/^at_query_seconds_count\{query="(\w+)"\} (\d+)$/gm)
  return new Map([...found].map(([, name, count]) => [name, Number(count)]))
}

/** Calls `act` so often a second until the time is up. */
async function steadily(perSecond, act) {
  const start = performance.now()
  const underWay = []
  for (let number = 0; number < perSecond * seconds; number += 1) {
    await wait(Math.max(0, start + (number * 1000) / perSecond - performance.now()))
    underWay.push(act())
  }
  await Promise.all(underWay)
}

function describe(name, times) {
  const sorted = [...times].sort((one, other) => one - other)
  const quantile = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0
  const text = [0.5, 0.95, 0.99].map((share) => `${quantile(share).toFixed(1)} ms`)
  console.log(`${name}: p50 ${text[0]}, p95 ${text[1]}, p99 ${text[2]} (${sorted.length})`)
  return quantile(0.95)
}

async function measure(product) {
  const endpointUrl = await fill(product)
  const cookies = await openSessions(product)
  const again = []
  const pages = cookies.map((cookie) => new OpenPage(product, cookie, again))
  for (const page of pages) await page.open()
  console.log(`${pages.length} sessions with a stream each, ${salesBefore} sales before, ${pagesPerSecond} pages/s and ${salesPerSecond} sales/s for ${seconds} s`)
  const whole = []
  const before = await queries(product)
  const begun = performance.now()
  await Promise.all([
    steadily(salesPerSecond, () => sell(endpointUrl)),
    steadily(pagesPerSecond, async () => {
      try {
        const answer = await ask(product, '/portal', { cookie: anyOf(cookies) })
        if (answer.status !== 200) failures.push(`a page was answered ${answer.status}`)
        whole.push(answer.ms)
      } catch (error) {
        failures.push(error.message)
      }
    }),
  ])
  const took = (performance.now() - begun) / 1000
  const after = await queries(product)
  for (const page of pages) page.close()
  const p95 = describe('pages', whole)
  describe('bodies fetched again', again)
  const asked = [...after].map(([name, count]) => [name, count - (before.get(name) ?? 0)]).filter(([, count]) => count > 0)
  const all = asked.reduce((sum, [, count]) => sum + count, 0)
  console.log(`queries at the engine: ${(all / took).toFixed(1)}/s (${asked.map(([name, count]) => `${name} ${(count / took).toFixed(1)}`).join(', ')})`)
  return p95
}

const product = await new Product({ demo: false }).start()
try {
  const p95 = await measure(product)
  for (const failure of new Set(failures)) console.log(`${failures.filter((each) => each === failure).length} times: ${failure}`)
  if (p95 > maxP95) console.log(`p95 is above ${maxP95} ms`)
  process.exitCode = failures.length === 0 && p95 <= maxP95 ? 0 : 1
} finally {
  agent.destroy()
  await product.end()
}
