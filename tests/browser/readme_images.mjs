// Takes the pictures of the README from the demo: `npm run images`, with pngquant installed.

import { execFileSync } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { launch, openPage, signIn, until, waitForDemo, words } from './lib/browser.mjs'
import { Product } from './lib/product.mjs'

const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url))
const MAX_BYTES = 200_000
const PICTURES = [
  { name: 'dashboard', path: '/demo/dashboard', colorScheme: 'light', width: 1440, height: 900 },
  { name: 'dashboard-dark', path: '/demo/dashboard', colorScheme: 'dark', width: 1440, height: 900 },
  // A redemption of which half was refunded: every kind of step and line is on it.
  { name: 'explain', path: '/demo/purchases/inv%3Ain_demo_15', colorScheme: 'light', width: 1440, height: 900 },
  { name: 'mobile', path: '/demo/dashboard', colorScheme: 'light', width: 390, height: 844, deviceScaleFactor: 2 },
]

async function take(browser, product, { name, path, width, height, ...options }) {
  const context = await signIn(browser, await product.login(), { viewport: { width, height }, ...options })
  const { page } = await openPage(context)
  await page.goto(product.at(path))
  if (path.endsWith('dashboard')) {
    await page.locator('#chart canvas').waitFor()
    await page.locator('#chart-controls').getByText('Revenue').click()
  }
  await until(() => words(page.locator('#live-text')), (text) => text === 'Live', 'live stream')
  await page.mouse.move(0, 0)
  await page.evaluate(() => scrollTo(0, 0))
  const file = `${IMAGES}${name}.png`
  await page.screenshot({ path: file, animations: 'disabled' })
  execFileSync('pngquant', ['--force', '--skip-if-larger', '--quality', '80-100', '--strip', '--output', file, file])
  const { size } = statSync(file)
  if (size > MAX_BYTES) throw new Error(`${file} has ${size} bytes, ${MAX_BYTES} are allowed`)
  console.log(`${name}.png: ${size} bytes`)
  await context.close()
}

mkdirSync(IMAGES, { recursive: true })
const product = await new Product().start()
const chromium = await launch()
try {
  const context = await signIn(chromium.browser, product.openUrl)
  const { page } = await openPage(context)
  await page.goto(product.at('/demo/dashboard'))
  await waitForDemo(page)
  for (const picture of PICTURES) await take(chromium.browser, product, picture)
} finally {
  await chromium.close()
  await product.end()
}
