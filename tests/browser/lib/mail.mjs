// The mail server of the tests: what arrived at an address.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './browser.mjs'

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url))
const SCRIPT = join(REPOSITORY, 'scripts/services/mail.sh')
const PLACE = join(REPOSITORY, '.cache/services/mail')

/** A running mail server. */
export class MailServer {
  #wasThere

  /** Starts it, unless it runs. */
  static start() {
    const server = new MailServer()
    server.#wasThere = existsSync(join(PLACE, 'address')) && isRunning()
    if (!server.#wasThere) execFileSync('bash', [SCRIPT, 'start'], { stdio: 'ignore' })
    return server
  }

  /** How the product reaches it. */
  get settings() {
    const [, port] = readFileSync(join(PLACE, 'address'), 'utf8').trim().split(' ')
    return {
      AFFILITRACK_MAIL_HOST: 'localhost',
      AFFILITRACK_MAIL_PORT: port,
      AFFILITRACK_MAIL_TLS_CA_FILE: join(PLACE, 'ca.pem'),
      AFFILITRACK_MAIL_FROM: 'AffiliTrack <mail@track.example>',
    }
  }

  /** An address that no other run has. */
  address(name) {
    return `${name}-${randomBytes(6).toString('hex')}@example.com`
  }

  /** Waits until so many mails are there for an address, and answers the newest one's text. */
  async newest(address, count = 1) {
    return textOf(await this.newestMessage(address, count))
  }

  /** The same, with all its headers and parts. */
  async newestMessage(address, count = 1) {
    const folder = join(PLACE, 'inbox', address)
    const files = () => (existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.eml')).sort() : [])
    const found = await until(files, (names) => names.length >= count, `mail ${count} for ${address}`)
    return readFileSync(join(folder, found.at(-1)), 'utf8')
  }

  /** Ends it, if this test started it. */
  end() {
    if (!this.#wasThere) execFileSync('bash', [SCRIPT, 'stop'], { stdio: 'ignore' })
  }
}

function isRunning() {
  try {
    execFileSync('bash', [SCRIPT, 'address'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** The plain part of a message of two parts. */
function textOf(message) {
  const part = message.split(/\r?\n--/).find((each) => /content-type: text\/plain/i.test(each))
  const [head, ...body] = part.split(/\r?\n\r?\n/)
  const text = body.join('\n\n')
  if (/base64/i.test(head)) return Buffer.from(text, 'base64').toString('utf8')
  if (!/quoted-printable/i.test(head)) return text
  return text.replace(/=\r?\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)))
}
