// A real OpenID provider on this machine: whoever types a name into its form is that person.

import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const CLIENT = 'affilitrack'
const SECRET = 'only-for-tests'

/** A running provider. `people` are the claims of each name. */
export class OpenIdServer {
  #server
  #answer = (_request, response) => response.writeHead(503).end()

  constructor(people) {
    this.people = people
    /** Requests that reached it, as `METHOD /path`. */
    this.asked = []
  }

  /** Listens; whom it sends people back to is not known yet. */
  async start() {
    this.#server = createServer((request, response) => {
      this.asked.push(`${request.method} ${request.url.split('?')[0]}`)
      this.#answer(request, response)
    })
    await new Promise((done) => this.#server.listen(0, '127.0.0.1', done))
    this.issuer = `http://127.0.0.1:${this.#server.address().port}`
    return this
  }

  /** How the product reaches it. */
  get settings() {
    return {
      AFFILITRACK_OPENID_ISSUER: this.issuer,
      AFFILITRACK_OPENID_CLIENT_ID: CLIENT,
      AFFILITRACK_OPENID_CLIENT_SECRET: SECRET,
      AFFILITRACK_OPENID_NAME: 'Example ID',
    }
  }

  /** From now on it knows a product. */
  serve(callback) {
    const provider = new Provider(this.issuer, {
      clients: [
        {
          client_id: CLIENT,
          client_secret: SECRET,
          redirect_uris: [callback],
          token_endpoint_auth_method: 'client_secret_post',
        },
      ],
      claims: { openid: ['sub'], email: ['email', 'email_verified'] },
      // Google puts the address into the token, too.
      conformIdTokenClaims: false,
      pkce: { required: () => true },
      jwks: { keys: [signingKey()] },
      cookies: { keys: ['only-for-tests'] },
      ttl: { Session: 600, Interaction: 600, Grant: 600, IdToken: 600, AccessToken: 600 },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (_context, name) => {
        const person = this.people[name]
        return person && { accountId: person.sub, claims: () => person }
      },
      loadExistingGrant: agree,
    })
    const answer = provider.callback()
    this.#answer = (request, response) => {
      if (!request.url.startsWith('/interaction/')) return answer(request, response)
      this.#askWho(provider, request, response).catch((error) => response.writeHead(500).end(String(error)))
    }
  }

  async #askWho(provider, request, response) {
    if (request.method === 'GET') {
      response.setHeader('content-type', 'text/html; charset=utf-8')
      return response.end(FORM)
    }
    const name = new URLSearchParams(await bodyOf(request)).get('name')
    const result = name in this.people ? { login: { accountId: name } } : { error: 'access_denied' }
    return provider.interactionFinished(request, response, result)
  }

  async end() {
    this.#server?.closeAllConnections()
    await new Promise((done) => (this.#server ? this.#server.close(done) : done()))
  }
}

const FORM = `<!doctype html><html lang="en"><title>Example ID</title><link rel="icon" href="data:,">
<form method="post"><label>Who are you? <input name="name" autofocus></label><button>Go on</button></form></html>`

/** Whoever signs in has agreed to what is asked. */
async function agree(context) {
  const { client, session, provider, params } = context.oidc
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope(params.scope)
  await grant.save()
  return grant
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'first' }
}

async function bodyOf(request) {
  let body = ''
  for await (const part of request) body += part
  return body
}
