// A certificate authority that lives as long as one test, made with openssl.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** An authority in a folder of its own: `file` is its certificate, `serverPair()` makes key and certificate. */
export class Authority {
  constructor(name) {
    this.folder = mkdtempSync(join(tmpdir(), 'affilitrack-authority-'))
    this.file = join(this.folder, 'authority.pem')
    this.#openssl([
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign',
      '-keyout', 'authority.key', '-out', 'authority.pem',
    ])
  }

  /** For a server on 127.0.0.1. */
  serverPair() {
    writeFileSync(join(this.folder, 'server.ext'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
    this.#openssl([
      'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=127.0.0.1',
      '-keyout', 'server.key', '-out', 'server.csr',
    ])
    this.#openssl([
      'x509', '-req', '-in', 'server.csr', '-CA', 'authority.pem', '-CAkey', 'authority.key', '-CAcreateserial',
      '-days', '2', '-extfile', 'server.ext', '-out', 'server.pem',
    ])
    const read = (file) => readFileSync(join(this.folder, file))
    return { key: read('server.key'), cert: read('server.pem') }
  }

  /** Removes everything. */
  end() {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #openssl(words) {
    try {
      execFileSync('openssl', words, { cwd: this.folder, stdio: 'pipe' })
    } catch (error) {
      throw new Error(`openssl ${words[0]} failed (is it installed?): ${error.stderr ?? error}`)
    }
  }
}
