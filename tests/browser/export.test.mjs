// Somebody takes what affiliates earned as a file, and opens it in a spreadsheet.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { figure, launch, openPage, signIn, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { openedByLibreOffice } from './lib/spreadsheet.mjs'
import { CODES, decisions, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_exportTest0123456789'
const COLUMNS = ['Affiliate', 'Key', 'E-mail', 'Currency', 'Redemptions', 'Revenue', 'Refunds', 'Commission owed', 'Status', 'Payout address']
const PURCHASE_COLUMNS = ['Sale', 'Purchase', 'Kind', 'Outcome', 'Reason', 'Affiliate', 'Key', 'Code', 'Currency', 'Gross', 'Revenue', 'Refunds', 'Commission']
/** What people and those who mean harm write into a name. */
const NAMES = {
  formula: '=HYPERLINK("http://127.0.0.1/","open")',
  sum: '+SUM(1,2)',
  minus: '-2+3',
  at: '@now()',
  quoted: 'Lind, Anna "the Pod"',
  lines: 'two\nlines',
  emoji: 'Ada 🎧 Café',
  arabic: 'مايا ليند',
}
const SALES = [
  { code: 'CODE-formula', price: 123_456_700, off: 24_691_340 },
  { code: 'CODE-sum', price: 1_999, off: 333 },
  { code: 'CODE-minus', currency: 'jpy', price: 14_900, off: 2_980 },
  { code: 'CODE-at', currency: 'kwd', price: 12_345, off: 1_111 },
  { code: 'CODE-quoted', currency: 'zzz' },
  { code: 'CODE-lines' },
  { code: 'CODE-emoji', currency: 'eur', price: 1_010, off: 10 },
  { code: 'CODE-arabic', currency: 'eur', price: 2_020, off: 20 },
  { code: 'CODE-formula', currency: 'jpy' },
  { code: null, price: 7_700 },
]

let product, chromium, page, complaints, folder, endpointUrl

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'affilitrack-export-'))
  for (const [key, name] of Object.entries(NAMES)) {
    CODES[`CODE-${key}`] = { promotionCode: `promo_${key}`, coupon: `coupon_${key}`, affiliate: key, name }
  }
  product = await new Product({ demo: false }).start()
  chromium = await launch()
  endpointUrl = await product.connect('acme', SECRET)
  await product.decide('acme', [
    ...decisions(),
    { decide: 'affiliate', key: 'at', name: NAMES.at, suspended: true },
    { decide: 'adjust', mode: 'live', affiliate: 'ben', currency: 'usd', commission_minor: -1_234, reason: 'paid twice' },
  ])
  for (const sale of SALES) assert.equal(await deliver(endpointUrl, SECRET, paidInvoice(sale).event), 200)
  const context = await signIn(chromium.browser, product.openUrl, { acceptDownloads: true })
  ;({ page, complaints } = await openPage(context, { expected: ['status of 400', 'status of 404'] }))
})

after(async () => {
  rmSync(folder, { recursive: true, force: true })
  await chromium?.close()
  await product?.end()
})

/** Presses a button of the page and keeps the file. */
async function take(button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: button }).click()])
  assert.equal(await download.failure(), null)
  const path = join(folder, download.suggestedFilename())
  await download.saveAs(path)
  return path
}

/** `1234.5` with two digits as 123450n; refuses what has more decimals than the currency. */
function minorUnits(number, digits) {
  const [, sign, whole, fraction = ''] = number.match(/^(-?)(\d+)(?:\.(\d+))?$/) ?? assert.fail(`not a plain number: ${number}`)
  assert.ok(fraction.length <= digits, `${number} has more than ${digits} decimals`)
  return Number(`${sign}${whole}${fraction.padEnd(digits, '0')}`)
}

/** What the JSON API says, in the cells of the file. */
async function expectedRows(today) {
  const totals = await product.read('acme', 'live', `totals?group=affiliate&from=${today}&to=${today}`)
  const rows = totals.rows.filter((group) => group.group !== '').flatMap((group) =>
    group.totals.map((sums) => ({
      name: group.label,
      key: group.group,
      email: '',
      currency: sums.currency.toUpperCase() + (sums.minor_digits === null ? ' minor units' : ''),
      amounts: [sums.redemptions, sums.revenue_minor, sums.refunded_minor, sums.commission_minor],
      status: group.group === 'at' ? 'suspended' : 'active',
    })),
  )
  return { rows, digits: Object.fromEntries(totals.rows.flatMap((group) => group.totals.map((sums) => [sums.currency.toUpperCase(), sums.minor_digits ?? 0]))) }
}

/** Compares the cells that a spreadsheet shows with the JSON API, to the last digit. */
async function assertSame(cells, today, namesAsShown) {
  const { rows: expected, digits } = await expectedRows(today)
  assert.deepEqual(cells[0].map((cell) => cell.text), COLUMNS)
  const found = cells.slice(1).map((row) => {
    const [name, key, email, currency] = row.slice(0, 4).map((cell) => cell.text)
    const after = digits[currency.slice(0, 3)]
    const amounts = row.slice(4, 8).map(({ number }, index) => minorUnits(number, index === 0 ? 0 : after))
    return { name, key, email, currency, amounts, status: row[8].text }
  })
  const sorted = (rows) => rows.map((row) => JSON.stringify(row)).sort()
  assert.deepEqual(sorted(found), sorted(expected.map((row) => ({ ...row, name: namesAsShown(row.name) }))))
  assert.equal(found.length, 10, 'one row per affiliate and currency, none for the sale of nobody')
}

let today

step('the buttons stand beside the range', async () => {
  await page.goto(product.at('/acme/dashboard?mode=live&range=today'))
  await until(() => words(page.locator('.outcomes')), (text) => /9 credited 1 organic/.test(text), 'the purchases')
  today = await page.locator('#range-from').inputValue()
  assert.equal(await page.locator('.range-line .exports a').count(), 2)
})

step('the CSV adds up to the commission of the page', async () => {
  const path = await take('Export CSV')
  assert.equal(path, join(folder, `acme-commission-${today}-to-${today}.csv`))
  const bytes = readFileSync(path)
  assert.deepEqual([...bytes.subarray(0, 3)], [0xef, 0xbb, 0xbf], 'a byte-order mark')
  const cells = await openedByLibreOffice(path)
  for (const currency of ['USD', 'JPY', 'EUR', 'KWD']) {
    const digits = { JPY: 0, KWD: 3 }[currency] ?? 2
    const rows = cells.filter((row) => row[3].text === currency)
    const sum = rows.reduce((sum, row) => sum + minorUnits(row[7].number, digits), 0)
    assert.equal(sum, await figure(page, `figure-commission-${currency.toLowerCase()}`), currency)
  }
})

step('a spreadsheet reads the CSV as it was meant, and runs nothing', async () => {
  const cells = await openedByLibreOffice(join(folder, `acme-commission-${today}-to-${today}.csv`))
  // The apostrophe is the price for it: the documentation says so.
  await assertSame(cells, today, (name) => (/^[=+\-@]/.test(name) ? `'${name}` : name))
})

step('the workbook has the same cells, and names without an apostrophe', async () => {
  const path = await take('Excel')
  assert.equal(path, join(folder, `acme-commission-${today}-to-${today}.xlsx`))
  await assertSame(await openedByLibreOffice(path), today, (name) => name)
})

step('a range of one\'s own gives the file of that range', async () => {
  await page.goto(product.at('/acme/dashboard?mode=live&from=2020-01-01&to=2020-01-31'))
  const path = await take('Export CSV')
  assert.equal(path, join(folder, 'acme-commission-2020-01-01-to-2020-01-31.csv'))
  assert.equal(readFileSync(path, 'utf8'), `\uFEFF${COLUMNS.join(',')}\r\n`)
})

step('what cannot be a file is a page that says why', async () => {
  await page.goto(product.at('/acme/payouts.csv?from=2020-02-01&to=2020-01-01'))
  assert.match(await words(page.locator('main, .error-card').first()), /last day must not be before the first/)
  const foreign = await page.context().request.get(product.at('/globex/payouts.xlsx'))
  assert.equal(foreign.status(), 404)
  const stranger = await fetch(product.at('/acme/payouts.csv'))
  assert.equal(stranger.status, 401)
  assert.deepEqual(complaints, [])
})

step('the explorer gives what its filters find as a file, the same in both kinds', async () => {
  await page.goto(product.at('/acme/redemptions?mode=live&currency=eur'))
  assert.equal(await page.locator('#explorer-rows tr').count(), 2)
  const shown = await page.locator('#explorer-rows .key').allInnerTexts()
  const files = []
  for (const [button, ending] of [['Export CSV', 'csv'], ['Excel', 'xlsx']]) {
    const path = await take(button)
    assert.equal(path, join(folder, `acme-purchases-${today}.${ending}`))
    files.push(await openedByLibreOffice(path))
  }
  for (const cells of files) {
    assert.deepEqual(cells[0].map((cell) => cell.text), PURCHASE_COLUMNS)
    const rows = cells.slice(1)
    assert.deepEqual(rows.map((row) => row[1].text), shown, 'the rows of the page in their order')
    assert.deepEqual(new Set(rows.map((row) => row[8].text)), new Set(['EUR']))
    assert.deepEqual(rows.map((row) => minorUnits(row[10].number, 2)).sort(), [1_000, 2_000])
    assert.deepEqual(rows.map((row) => minorUnits(row[12].number, 2)).sort(), [200, 400])
  }
})

step('days are a filter like the others', async () => {
  await page.goto(product.at('/acme/redemptions?mode=live'))
  await page.getByLabel('To', { exact: true }).fill('2020-01-31')
  await page.waitForURL(/to=2020-01-31/)
  await until(() => words(page.locator('#page')), (text) => /No purchase matches these filters/.test(text), 'no row')
  await page.goto(product.at(`/acme/redemptions?mode=live&from=${today}&to=${today}`))
  assert.equal(await page.locator('#explorer-rows tr').count(), 10)
  const answer = await page.context().request.get(product.at('/acme/redemptions.csv?mode=live&from=yesterday'))
  assert.equal(answer.status(), 400)
  for (const path of ['/globex/redemptions.csv', '/globex/redemptions.xlsx']) {
    assert.equal((await page.context().request.get(product.at(path))).status(), 404)
  }
})

step('the files come without a script too', async () => {
  const state = await page.context().storageState()
  const context = await chromium.browser.newContext({ storageState: state, javaScriptEnabled: false, acceptDownloads: true })
  ;({ page } = await openPage(context))
  await page.goto(product.at('/acme/dashboard?mode=live&range=today'))
  const path = await take('Export CSV')
  assert.equal(readFileSync(path, 'utf8').split('\r\n').length, 12)
  await context.close()
})
