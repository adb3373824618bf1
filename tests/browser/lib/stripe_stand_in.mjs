// Stands in for Stripe's interface where answers have to agree with each other: keys with permissions, lists with pages,
// endpoints that were made, rate limits, and idempotency keys. Every object has the form that Stripe's own SDK expects.

import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'

/** Which row of Stripe's page of a restricted key lets a path be read. */
const PERMISSIONS = {
  events: 'Events',
  'checkout/sessions': 'Checkout Sessions',
  invoices: 'Invoices',
  invoice_payments: 'Invoices',
  subscriptions: 'Subscriptions',
  customers: 'Customers',
  charges: 'Charges and Refunds',
  refunds: 'Charges and Refunds',
  payment_intents: 'PaymentIntents',
  disputes: 'Disputes',
  credit_notes: 'Credit notes',
  coupons: 'Coupons',
  promotion_codes: 'Promotion codes',
  webhook_endpoints: 'Webhook Endpoints',
}

/** Everything that the product asks for. */
export const ALL_PERMISSIONS = [...new Set(Object.values(PERMISSIONS))]

const makeId = (prefix) => `${prefix}_1${randomBytes(12).toString('hex')}`

export function promotionCode(id, code, coupon) {
  const created = Math.floor(Date.now() / 1000)
  return { id, object: 'promotion_code', active: true, code, created, livemode: false, metadata: {}, promotion: { type: 'coupon', coupon }, times_redeemed: 0 }
}

export function coupon(id) {
  const created = Math.floor(Date.now() / 1000)
  return { id, object: 'coupon', amount_off: null, created, currency: null, duration: 'forever', livemode: false, metadata: {}, percent_off: 20, times_redeemed: 0, valid: true }
}

/** One account at Stripe. */
export class StripeStandIn {
  /** Permissions by key; a key that is not here is unknown. */
  keys = new Map()
  /** By list, each in Stripe's order: the newest first. */
  lists = { events: [], promotion_codes: [], coupons: [] }
  endpoints = []
  /** `GET /v1/...` of everything that was asked, with the time. */
  asked = []
  /** Set: answers a request instead of the rest. May be async; undefined lets it pass. */
  before = null
  /** The next endpoint is made, but its answer never arrives. */
  losesNextMade = false
  #server
  #answers = new Map()

  async start() {
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error) => response.writeHead(500).end(String(error)))
    })
    await new Promise((ready) => this.#server.listen(0, '127.0.0.1', ready))
    this.port = this.#server.address().port
    this.base = `http://127.0.0.1:${this.port}`
    return this
  }

  end() {
    this.#server?.closeAllConnections()
    this.#server?.close()
  }

  /** What was asked of a path, without what has another one before it. */
  askedFor(text) {
    return this.asked.filter((each) => each.includes(text))
  }

  async #serve(request, response) {
    let body = ''
    for await (const piece of request) body += piece
    const url = new URL(request.url, this.base)
    this.asked.push(`${request.method} ${decodeURIComponent(request.url)}`)
    const answer = this.#refusal(request, url) ?? (await this.before?.(request, url)) ?? this.#answer(request, url, new URLSearchParams(body))
    if (answer === 'break off') return response.destroy()
    const headers = { 'content-type': 'application/json', 'request-id': makeId('req'), ...answer.headers }
    response.writeHead(answer.status ?? 200, headers).end(JSON.stringify(answer.body))
  }

  #refusal(request, url) {
    const key = request.headers.authorization?.replace('Bearer ', '')
    const permissions = this.keys.get(key)
    if (!permissions) return refusal(401, 'Invalid API Key provided', {})
    const name = url.pathname.replace('/v1/', '')
    const needed = PERMISSIONS[Object.keys(PERMISSIONS).find((path) => name === path || name.startsWith(`${path}/`))]
    if (!needed) return refusal(404, `Unrecognized request URL (${request.method}: ${url.pathname})`, {})
    if (!permissions.includes(needed)) return refusal(403, 'The provided key does not have the required permissions for this endpoint.', {})
    return undefined
  }

  #answer(request, url, form) {
    const name = url.pathname.replace('/v1/', '')
    if (name.startsWith('webhook_endpoints')) return this.#endpoint(request, name, form)
    if (request.method !== 'GET') return refusal(404, 'only webhook endpoints are written here', {})
    if (name in this.lists) return this.#list(name, url.searchParams)
    if (!(name in PERMISSIONS)) return refusal(404, 'No such object', { code: 'resource_missing' })
    return { body: { object: 'list', data: [], has_more: false, url: url.pathname } }
  }

  #list(name, query) {
    const types = query.getAll('types[]')
    if (types.length > 20) return refusal(400, 'You may specify at most 20 types.', { param: 'types' })
    const from = Number(query.get('created[gte]') ?? 0)
    const to = Number(query.get('created[lte]') ?? Infinity)
    const wanted = (item) => (types.length === 0 || types.includes(item.type)) && item.created >= from && item.created <= to
    const found = this.lists[name].filter((item) => name !== 'events' || wanted(item))
    const after = query.get('starting_after')
    const start = after ? found.findIndex((item) => item.id === after) + 1 : 0
    if (after && start === 0) return refusal(400, `No such ${name}: '${after}'`, { code: 'resource_missing', param: 'starting_after' })
    const limit = Number(query.get('limit') ?? 10)
    const data = found.slice(start, start + limit)
    return { body: { object: 'list', data, has_more: start + limit < found.length, url: `/v1/${name}` } }
  }

  #endpoint(request, name, form) {
    const id = name.split('/')[1]
    const known = this.endpoints.find((each) => each.id === id)
    if (id && !known) return refusal(404, `No such webhook endpoint: '${id}'`, { code: 'resource_missing' })
    if (request.method === 'DELETE') {
      this.endpoints = this.endpoints.filter((each) => each !== known)
      return { body: { id, object: 'webhook_endpoint', deleted: true } }
    }
    // The secret is told once.
    const shown = ({ secret, ...rest }) => rest
    if (request.method === 'GET') return { body: { object: 'list', data: this.endpoints.map(shown), has_more: false, url: '/v1/webhook_endpoints' } }
    const events = form.getAll('enabled_events[]')
    if (known) {
      Object.assign(known, { enabled_events: events.length ? events : known.enabled_events, status: form.get('disabled') === 'false' ? 'enabled' : known.status })
      return { body: shown(known) }
    }
    return this.#made(request.headers['idempotency-key'], form, events)
  }

  #made(idempotencyKey, form, events) {
    if (!form.get('url')) return refusal(400, 'Missing required param: url.', { code: 'parameter_missing', param: 'url' })
    const again = this.#answers.get(idempotencyKey)
    if (idempotencyKey && again) return { ...again, headers: { 'idempotent-replayed': 'true' } }
    const metadata = [...form].filter(([key]) => key.startsWith('metadata[')).map(([key, value]) => [key.slice(9, -1), value])
    const endpoint = {
      id: makeId('we'),
      object: 'webhook_endpoint',
      api_version: form.get('api_version'),
      application: null,
      created: Math.floor(Date.now() / 1000),
      description: form.get('description'),
      enabled_events: events,
      livemode: false,
      metadata: Object.fromEntries(metadata),
      secret: `whsec_${randomBytes(16).toString('hex')}`,
      status: 'enabled',
      url: form.get('url'),
    }
    this.endpoints.unshift(endpoint)
    const answer = { body: endpoint }
    if (idempotencyKey) this.#answers.set(idempotencyKey, answer)
    if (!this.losesNextMade) return answer
    this.losesNextMade = false
    return 'break off'
  }
}

export function refusal(status, message, more, headers = {}) {
  return { status, headers, body: { error: { type: 'invalid_request_error', message, ...more } } }
}
