// Starts the product as its users do, each time with a data folder of its own, and ends it by its process id.

import { execFile, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url))
const BINARY = resolve(process.env.AFFILITRACK_BIN || join(REPOSITORY, 'target/release/affilitrack'))
const START_WITHIN_MS = 120_000
const END_WITHIN_MS = 60_000
const COMMAND_WITHIN_MS = 120_000
/** As much of the product's log as an error message shows. */
const KEPT_LOG_CHARACTERS = 4_000

const run = promisify(execFile)

function checkBinary() {
  try {
    accessSync(BINARY, constants.X_OK)
  } catch {
    throw new Error(
      `${BINARY} is not there: build it with \`bash scripts/build-release.sh affilitrack\`, or set AFFILITRACK_BIN`,
    )
  }
}

/** The environment without settings of whoever runs the tests. */
function environment(own) {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('AFFILITRACK_') || name === 'AFFILITRACK_ENGINE_DIR',
  )
  return { ...Object.fromEntries(kept), ...own }
}

/** One running product. */
export class Product {
  #child = null
  #log = ''

  /** `demo: false` starts without the demo workspace; `settings` are more environment variables. */
  constructor({ demo = true, settings = {} } = {}) {
    checkBinary()
    this.demo = demo
    this.settings = settings
    this.folder = mkdtempSync(join(tmpdir(), 'affilitrack-browser-'))
    this.port = 0
    /** The one-time address that the last start printed. */
    this.openUrl = ''
    /** Is given everything that it says, if set. */
    this.hears = null
  }

  /** Starts it and waits for the printed address. A second start takes the port of the first. */
  async start() {
    const settings = { DATA_DIR: this.folder, PORT: String(this.port), AFFILITRACK_DEMO: this.demo ? 'on' : 'off' }
    const env = environment({ ...settings, ...this.settings })
    const child = spawn(BINARY, ['run'], { cwd: REPOSITORY, env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.#log = ''
    // If the test itself falls over, nothing is left running.
    const endChild = () => child.kill('SIGKILL')
    process.once('exit', endChild)
    child.once('exit', () => process.off('exit', endChild))
    this.openUrl = await this.#printedUrl(child)
    this.port = Number(new URL(this.openUrl).port)
    return this
  }

  #printedUrl(child) {
    return new Promise((answer, refuse) => {
      const fail = (why) => refuse(new Error(`${why}; the product said:\n${this.#log}`))
      const timer = setTimeout(() => fail(`no address was printed within ${START_WITHIN_MS / 1000} s`), START_WITHIN_MS)
      let printed = ''
      child.stdout.setEncoding('utf8').on('data', (text) => {
        printed += text
        this.#remember(text)
        const found = printed.match(/Open (http:\S+token=\S+)\s/)
        if (!found) return
        clearTimeout(timer)
        answer(found[1])
      })
      child.stderr.setEncoding('utf8').on('data', (text) => this.#remember(text))
      child.once('error', fail)
      child.once('exit', (code, signal) => fail(`it ended with ${signal ?? code} before it was ready`))
    })
  }

  #remember(text) {
    this.hears?.(text)
    this.#log = (this.#log + text).slice(-KEPT_LOG_CHARACTERS)
  }

  /** The end of what it said so far. */
  get log() {
    return this.#log
  }

  /** The address of a path. */
  at(path) {
    return `http://127.0.0.1:${this.port}${path}`
  }

  /** Ctrl-c, and waits for the end. Answers the exit code. */
  async interrupt() {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null
    const ended = new Promise((answer) => child.once('exit', (code) => answer(code)))
    process.kill(child.pid, 'SIGINT')
    const timer = setTimeout(() => process.kill(child.pid, 'SIGKILL'), END_WITHIN_MS)
    const code = await ended
    clearTimeout(timer)
    if (code === null) throw new Error(`it did not end within ${END_WITHIN_MS / 1000} s; it said:\n${this.#log}`)
    return code
  }

  /** Ends it and removes its data. */
  async end() {
    try {
      await this.interrupt()
    } finally {
      rmSync(this.folder, { recursive: true, force: true })
    }
  }

  /** Runs a command of the product beside it and answers what it printed. */
  async command(words, input = '') {
    const pending = run(BINARY, words, {
      cwd: REPOSITORY,
      env: environment({ DATA_DIR: this.folder }),
      timeout: COMMAND_WITHIN_MS,
    })
    // A command that reads no input may be over before there is any; whether it worked says its exit code.
    pending.child.stdin.on('error', () => {}).end(input)
    return (await pending).stdout
  }

  /** A new one-time address. */
  async login() {
    const printed = await this.command(['login'])
    return printed.match(/http:\S+token=\S+/)[0]
  }

  /** Opens a vendor from the command line. Answers the endpoint's address. */
  async connect(vendor, secret, ...more) {
    const printed = await this.command(['connect', 'stripe', '--vendor', vendor, '--secret', '-', ...more], `${secret}\n`)
    return printed.match(/http:\S+\/webhooks\/stripe\/[\w-]+/)[0]
  }

  /** Reads from the JSON API with a key of its own. Answers undefined for what is not there. */
  async read(vendor, mode, path) {
    const key = (await this.command(['api-key', '--vendor', vendor, '--mode', mode])).trim()
    const answer = await fetch(this.at(`/api/v1/${path}`), { headers: { authorization: `Bearer ${key}` } })
    if (answer.status === 404) return undefined
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }

  /** Hands in decisions. */
  async decide(vendor, decisions) {
    await this.command(['decide', '-', '--vendor', vendor], JSON.stringify(decisions))
  }
}
