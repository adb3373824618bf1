// Figures beside those of an earlier range, and the pages of one affiliate and of one code, which add up to the dashboard.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { figure, launch, minor, openPage, signIn, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_browserTest0123456789'
const day = (text) => Date.parse(`${text}T12:00:00Z`) / 1000

/** What is shown, what stands before it, and what a year earlier; all over, so that no midnight matters. */
const RANGE = 'from=2026-10-09&to=2026-10-15'
const SALES = [
  { code: 'ANNA20', price: 10_000, off: 0, created: day('2026-10-10') },
  { code: 'ANNA20', price: 5_000, off: 0, created: day('2026-10-12') },
  { code: 'BEN10', price: 2_500, off: 0, created: day('2026-10-12') },
  { code: 'BEN10', price: 3_000, off: 0, currency: 'eur', created: day('2026-10-13') },
  { code: null, price: 700, created: day('2026-10-14') },
  { code: 'ANNA20', price: 4_000, off: 0, created: day('2026-10-03') },
  { code: 'BEN10', price: 20_000, off: 0, created: day('2025-10-10') },
]

let product, chromium, context, page, complaints, endpointUrl

before(async () => {
  product = await new Product({ demo: false }).start()
  chromium = await launch()
  context = await signIn(chromium.browser, product.openUrl)
  ;({ page, complaints } = await openPage(context, { expected: ['422'] }))
  endpointUrl = await product.connect('acme', SECRET)
  await product.decide('acme', decisions())
  for (const sale of SALES) assert.equal(await deliver(endpointUrl, SECRET, paidInvoice(sale).event), 200)
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

/** Opens a path and waits until it shows as many purchases as were delivered. */
async function open(path, purchases) {
  await until(async () => {
    await page.goto(product.at(path))
    return words(page.locator('.outcomes'))
  }, (text) => purchases.test(text), `purchases at ${path}`)
}

/** Nothing is wrong with the page in any width, and people who want to see it get pictures: SHOTS=folder. */
async function look(name) {
  for (const [width, scheme] of [[390, 'light'], [768, 'dark'], [1440, 'light'], [1440, 'dark'], [390, 'dark']]) {
    await page.setViewportSize({ width, height: 800 })
    await page.emulateMedia({ colorScheme: scheme })
    const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze()
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], `${name} at ${width}, ${scheme}`)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.equal(overflow, 0, `${name} at ${width} scrolls sideways`)
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}-${width}-${scheme}.png`, fullPage: true })
  }
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.emulateMedia({ colorScheme: 'light' })
}

const change = (id) => words(page.locator(`#${id} .change`).first())

step('the days before: each figure with percent and difference, per currency', async () => {
  await open(`/acme/dashboard?mode=live&${RANGE}`, /6 credited 1 organic/)
  assert.match(await words(page.locator('.range-line')), /9 Oct – 15 Oct 2026 compared with the 7 days before/)
  assert.equal(await figure(page, 'figure-revenue-usd'), 18_200)
  assert.match(await change('figure-revenue-usd'), /^▲ up 355 % \+142\.00 USD against the 7 days before$/)
  assert.match(await change('figure-revenue-eur'), /^new \+30\.00 EUR against/)
  assert.match(await change('figure-redemptions-count'), /^▲ up 300 % \+3 against/)
  assert.match(await change('figure-affiliates-count'), /^▲ up 100 % \+1 against/)
})

step('the chart has a second series with a legend in words, and its table says what stands beside what', async () => {
  await page.locator('#chart canvas').waitFor()
  assert.match(await words(page.locator('.chart-legend')), /9 Oct – 15 Oct 2026 \(bars\) 2 Oct – 8 Oct 2026 \(dashed line\)/)
  const row = page.locator('#chart-table tbody tr').nth(1)
  assert.equal(await row.locator('.earlier-label').textContent(), '3 Oct 2026')
  const earlier = await row.locator('td[data-earlier]').evaluateAll((cells) => cells.map((cell) => Number(cell.dataset.earlier)))
  assert.deepEqual(earlier.slice(0, 2), [1, 4_000])
  await page.locator('#chart-controls').getByText('Revenue').click()
  await page.locator('#chart').focus()
  for (let times = 0; times < 6; times++) await page.keyboard.press('ArrowLeft')
  const told = () => page.locator('#chart').getAttribute('aria-valuetext')
  await until(told, (text) => text === '10 Oct: Revenue 100.00 USD; 3 Oct 2026: 40.00 USD', 'both values at the chart')
  await look('dashboard-compared')
})

step('a year before, or nothing: each has an address, and the range keeps it', async () => {
  await page.getByRole('link', { name: 'Year before' }).click()
  await page.waitForURL(/compare=year/)
  assert.match(await words(page.locator('.range-line')), /compared with the same days a year before/)
  assert.match(await change('figure-revenue-usd'), /^▼ down 9 % −18\.00 USD/)
  assert.match(await words(page.locator('.chart-legend')), /9 Oct – 15 Oct 2025/)
  await page.getByRole('navigation', { name: 'Range' }).getByRole('link', { name: '7 days' }).click()
  await page.waitForURL(/range=7d&compare=year/)
  assert.match(await words(page.locator('.range-line')), /nothing to compare with: no sale on the same days a year before/)
  assert.equal(await page.locator('.change').count(), 0)
  await page.goto(product.at(`/acme/dashboard?mode=live&${RANGE}&compare=none`))
  assert.match(await words(page.locator('.range-line')), /not compared/)
  assert.deepEqual([await page.locator('.change').count(), await page.locator('.chart-legend').count()], [0, 0])
  const answer = await page.request.get(product.at(`/acme/dashboard?mode=live&compare=month`))
  assert.equal(answer.status(), 400)
})

step('bars are chosen beside the chart, and sum up to the same', async () => {
  const sum = async () => {
    const cells = await page.locator('#chart-table td:nth-child(3)').evaluateAll((all) => all.map((cell) => Number(cell.dataset.raw)))
    return [cells.length, cells.reduce((total, each) => total + each, 0)]
  }
  await page.goto(product.at('/acme/dashboard?mode=live&from=2026-09-14&to=2026-10-25'))
  assert.deepEqual(await sum(), [42, 22_200])
  const bars = page.getByRole('navigation', { name: 'Bars' })
  for (const [name, rows] of [['Week', 6], ['Month', 2], ['Day', 42]]) {
    await bars.getByRole('link', { name }).click()
    await page.waitForURL(new RegExp(`bucket=${name.toLowerCase()}`))
    assert.deepEqual(await sum(), [rows, 22_200], name)
  }
  await page.goto(product.at(`/acme/dashboard?mode=live&${RANGE}&bucket=hour`))
  assert.deepEqual(await sum(), [7 * 24, 18_200])
})

step('the dashboard leads to the affiliate, over the same days', async () => {
  await page.goto(product.at(`/acme/dashboard?mode=live&${RANGE}`))
  await page.locator('section[aria-labelledby="affiliates-title"]').getByRole('link', { name: 'Anna Lind' }).click()
  await page.waitForURL(/\/acme\/affiliates\/anna\?.*from=2026-10-09/)
  assert.equal(await figure(page, 'figure-revenue-usd'), 15_000)
  assert.match(await change('figure-revenue-usd'), /^▲ up 275 % \+110\.00 USD/)
  assert.equal(await words(page.locator('.outcomes')), 'All purchases 3 credited 0 rejected 0 waiting')
  assert.equal(await page.locator('#feed li').count(), 2)
  assert.match(await words(page.locator('#top-codes tbody')), /ANNA20 2 2 150\.00 USD 30\.00 USD/)
  await look('affiliate-figures')
})

step('its counts open their rows, its lines their purchases', async () => {
  await page.locator('.outcomes').getByRole('link', { name: /credited/ }).click()
  await page.waitForURL(/redemptions\?.*affiliate=anna&outcome=credited/)
  assert.equal(await page.locator('#explorer-rows tr').count(), 3)
  await page.goBack()
  await page.locator('#feed a').first().click()
  await page.waitForURL(/\/purchases\//)
  await page.goBack()
  await page.locator('#top-codes').getByRole('link', { name: 'ANNA20' }).click()
  await page.waitForURL(/\/codes\/\d+\?.*from=2026-10-09/)
  assert.equal(await figure(page, 'figure-revenue-usd'), 15_000)
  assert.equal(await page.locator('#top-codes').count(), 0)
  await look('code-figures')
})

step('affiliates, and what is nobody\'s, add up to the dashboard to the cent', async () => {
  const revenue = async (path) => {
    await page.goto(product.at(path))
    const read = async (unit) => ((await page.locator(`#figure-revenue-${unit}`).count()) ? figure(page, `figure-revenue-${unit}`) : 0)
    return [await read('usd'), await read('eur')]
  }
  const whole = await revenue(`/acme/dashboard?mode=live&${RANGE}`)
  const anna = await revenue(`/acme/affiliates/anna?mode=live&${RANGE}`)
  const ben = await revenue(`/acme/affiliates/ben?mode=live&${RANGE}`)
  assert.deepEqual(whole, [anna[0] + ben[0] + 700, anna[1] + ben[1]])
})

step('a sale appears on the affiliate\'s open page, and what is being typed stays', async () => {
  await page.goto(product.at('/acme/affiliates/anna?mode=live&range=7d'))
  await page.getByLabel('Name', { exact: true }).fill('Anna L')
  await page.evaluate(() => { window.sameDocument = true })
  await until(() => words(page.locator('#live-text')), (text) => text === 'Live', 'live stream')
  const sold = paidInvoice({ code: 'ANNA20', price: 3_100, off: 0 })
  assert.equal(await deliver(endpointUrl, SECRET, sold.event), 200)
  await until(() => figure(page, 'figure-revenue-usd'), (amount) => amount === 3_100, 'revenue')
  assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'Anna L')
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was not loaded again')
})

step('a refused form shows what is wrong without scrolling past figures', async () => {
  await page.getByLabel('Name', { exact: true }).fill(' ')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.locator('.error').first().waitFor()
  assert.equal(await page.locator('.figures').count(), 0)
})

step('without a script everything can be read and chosen', async () => {
  const quiet = await chromium.browser.newContext({ storageState: await context.storageState(), javaScriptEnabled: false })
  const plain = await quiet.newPage()
  await plain.goto(product.at(`/acme/affiliates/anna?mode=live&${RANGE}`))
  assert.equal(minor(await plain.locator('#figure-revenue-usd .amount').innerText()), 15_000)
  await plain.getByRole('link', { name: 'Year before' }).click()
  await plain.waitForURL(/compare=year/)
  await plain.locator('#chart-data summary').click()
  assert.equal(await plain.locator('#chart-table tbody tr').count(), 7)
  await plain.getByRole('navigation', { name: 'Bars' }).getByRole('link', { name: 'Hour' }).click()
  await plain.waitForURL(/bucket=hour/)
  await quiet.close()
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
