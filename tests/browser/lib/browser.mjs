// A real Chromium, and pages that remember everything they complained about.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Longest wait for something to appear. */
export const PATIENCE_MS = 60_000

/** Starts Chromium with a home of its own, so that nothing of the machine's user is read or written. */
export async function launch() {
  const home = mkdtempSync(join(tmpdir(), 'affilitrack-chromium-'))
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
    env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home },
  })
  return {
    browser,
    async close() {
      await browser.close()
      rmSync(home, { recursive: true, force: true })
    },
  }
}

/** A page whose complaints are collected; `expected` are words of complaints that belong to the journey. */
export async function openPage(context, { expected = [] } = {}) {
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  const complaints = []
  const note = (text) => {
    if (!expected.some((words) => text.includes(words))) complaints.push(text)
  }
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && note(message.text()))
  page.on('pageerror', (error) => note(String(error)))
  return { page, complaints }
}

/** A browser context that has used up the one-time address. */
export async function signIn(browser, openUrl, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  const answer = await page.goto(openUrl)
  if (!answer.ok()) throw new Error(`${openUrl} answered ${answer.status()}`)
  await page.close()
  return context
}

/** Waits until `read` of the page answers something for which `isDone` holds, and answers it. */
export async function until(read, isDone, what) {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const value = await read()
    if (isDone(value)) return value
    if (Date.now() > end) throw new Error(`${what}: still ${JSON.stringify(value)} after ${PATIENCE_MS / 1000} s`)
    await new Promise((done) => setTimeout(done, 50))
  }
}

/** Text without the white space of the markup. */
export async function words(locator) {
  return (await locator.innerText()).replace(/\s+/g, ' ').trim()
}

/** `1,234.50 USD` or `−12` as a whole number of its smallest digits. */
export function minor(text) {
  const number = text.replace(/[^\d−]/g, '').replace('−', '-')
  return Number(number)
}

/** A number of the dashboard. */
export async function figure(page, id) {
  return minor(await page.locator(`#${id} .amount`).first().innerText())
}

/** The demo is delivered while the first page is already open. Several processes may answer before it is begun. */
export async function waitForDemo(page) {
  const isThere = async () => (await page.locator('#figure-redemptions-count').count()) > 0 || (await page.reload(), false)
  await until(isThere, Boolean, 'the demo workspace')
  await until(() => figure(page, 'figure-redemptions-count'), (count) => count === 47, 'redemptions of the demo')
  const waiting = page.locator('#outcome-waiting')
  await until(() => waiting.innerText(), (count) => Number(count) === 2, 'waiting purchases of the demo')
  await until(() => page.locator('#outcome-rejected').innerText(), (count) => Number(count) === 1, 'rejected of the demo')
}
