// A vendor adds an affiliate, gives them a code and a rule, imports others, and suspends one. Also on two of each role,
// where a page may come from another process than the one that took the form.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { figure, launch, openPage, signIn, until, words } from './lib/browser.mjs'
import { step } from './lib/journey.mjs'
import { Product } from './lib/product.mjs'
import { CODES, deliver, paidInvoice } from './lib/stripe.mjs'

const SECRET = 'whsec_peopleTest0123456789'
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const IMPORTED_ROWS = 1_000

let product, chromium, context, page, complaints, endpointUrl

before(async () => {
  product = await new Product({ demo: false }).start()
  chromium = await launch()
  context = await signIn(chromium.browser, product.openUrl)
  ;({ page, complaints } = await openPage(context, { expected: ['422'] }))
  endpointUrl = await product.connect('acme', SECRET)
  await until(async () => (await page.goto(product.at('/acme/affiliates'))).status(), (status) => status === 200, 'the workspace')
})

after(async () => {
  await chromium?.close()
  await product?.end()
})

/** Accessible, and nothing wider than the window, at three widths. SHOTS=folder keeps pictures, also in the dark. */
async function look(name) {
  for (const width of [1440, 768, 390]) {
    await page.setViewportSize({ width, height: 900 })
    const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.ok(tooWide <= 0, `${name} is ${tooWide} px wider than ${width} px`)
    const { violations } = await new AxeBuilder({ page }).setLegacyMode().withTags(RULES).analyze()
    assert.deepEqual(violations.map((each) => `${each.id}: ${each.nodes[0].target.join(' ')}`), [], `${name} at ${width}`)
    for (const colorScheme of process.env.SHOTS ? ['dark', 'light'] : []) {
      await page.emulateMedia({ colorScheme })
      await page.screenshot({ path: `${process.env.SHOTS}/${name}-${width}-${colorScheme}.png`, fullPage: true })
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 })
}

const main = () => words(page.locator('main'))
const press = (name) => page.getByRole('button', { name, exact: true }).click()

step('without affiliates, the list says what to do', async () => {
  assert.match(await main(), /No affiliates yet.*Add affiliate/)
  await look('affiliates-none')
  await page.getByRole('link', { name: 'Rules' }).click()
  await until(main, (text) => /20 %, for life Nothing was decided yet.*No rule was decided yet/.test(text), 'the rules')
  await page.getByRole('link', { name: 'Affiliates' }).click()
})

step('an affiliate is added; what is wrong stands beside its field', async () => {
  await page.getByRole('link', { name: 'Add affiliate' }).first().click()
  await page.getByLabel('Name').fill('Anna Lind')
  await page.getByLabel('E-mail').fill('anna at example')
  await press('Add affiliate')
  await until(() => page.locator('#email-error').count(), Boolean, 'the error')
  assert.match(await words(page.locator('#email-error')), /There is no @ in the address/)
  assert.equal(await page.getByLabel('Name').inputValue(), 'Anna Lind')
  await look('affiliate-new-error')
  await page.getByLabel('E-mail').fill('Anna@Example.com')
  await press('Add affiliate')
  await page.waitForURL(/\/acme\/affiliates\/anna-lind/)
  assert.match(await main(), /The affiliate is there.*Active anna@example\.com/)
})

step('they get a code and a rule of their own', async () => {
  await page.getByLabel('Code', { exact: true }).fill('ANNA20')
  await page.getByText('Ids at the payment provider').click()
  await page.getByLabel(/Stripe promotion code id/).fill(CODES.ANNA20.promotionCode)
  await page.getByLabel(/Coupon or discount id/).fill(CODES.ANNA20.coupon)
  await press('Give this code')
  await until(main, (text) => /The code has its new owner.*ANNA20 Always Still theirs/.test(text), 'the code')
  await page.getByText('Decide a rule for Anna Lind').click()
  await page.getByLabel('Percentage', { exact: true }).fill('25')
  await page.getByLabel('For sales from').last().fill('2020-01-01')
  await press('Decide this rule')
  await until(main, (text) => /25 %, for life A rule of their own.*1 Jan 2020/.test(text), 'the rule')
  await page.getByText('Decide a rule for Anna Lind').click()
  await look('affiliate')
})

step('a sale with the code earns what the rule says', async () => {
  const sale = paidInvoice({ code: 'ANNA20', price: 4900, off: 980 })
  assert.equal(await deliver(endpointUrl, SECRET, sale.event), 200)
  await page.goto(product.at('/acme/dashboard?mode=live'))
  await until(async () => {
    if ((await page.locator('#figure-commission-usd').count()) === 0) return (await page.reload(), 0)
    return figure(page, 'figure-commission-usd')
  }, (amount) => amount === 980, 'commission')
  assert.match(await words(page.locator('#feed li').first()), /^Anna Lind ANNA20 39\.20 USD/)
})

step('the default is decided anew, and the old one stays to be read', async () => {
  await page.goto(product.at('/acme/rules'))
  for (const percent of ['30', '10']) {
    await page.getByText('Decide a new default').click()
    await page.getByLabel('Percentage', { exact: true }).fill(percent)
    await page.getByLabel('For sales from').fill('2020-02-01')
    await press('Decide this default')
    await until(() => words(page.locator('#default-rule')), (text) => text === `${percent} %, for life`, 'the default')
  }
  const text = await main()
  assert.match(text, /Rules in force.*Everybody 10 %, for life 1 Feb 2020.*Anna Lind 25 %, for life 1 Jan 2020.*Superseded rules.*30 %, for life replaced/)
  await page.getByLabel('Days').fill('14')
  await press('Save')
  await until(main, (words) => /The hold period is decided/.test(words), 'the hold period')
  assert.equal(await page.getByLabel('Days').inputValue(), '14')
  await page.getByText('Decide a new default').click()
  await look('rules')
})

step('a file is shown row by row, and only then imported', async () => {
  await page.goto(product.at('/acme/affiliates'))
  await page.getByRole('link', { name: 'Import CSV' }).click()
  const file = '\ufeffE-Mail;Name;Codes;Rate\nben@example.com;Ben Adeyemi;BEN10 BEN-VIP;15 %\nanna@example.com;;anna20;\nnobody;Nobody;X;\n'
  await page.getByLabel('CSV file').setInputFiles({ name: 'people.csv', mimeType: 'text/csv', buffer: Buffer.from(file) })
  await until(() => page.getByLabel(/Paste the table/).inputValue(), (text) => text.includes('ben@example.com'), 'the text')
  await look('import')
  await press('Show what would happen')
  await until(main, (text) => /1 row would change something, 1 is so already, 1 is wrong and left out/.test(text), 'the plan')
  assert.match(await words(page.locator('#wrong-rows')), /4 E-mail There is no @ in the address/)
  assert.match(await words(page.locator('#plan-rows')), /2 New affiliate Gets the code BEN10\. Gets the code BEN-VIP\. Earns 15 %\..*3 Unchanged/)
  await look('import-plan')
  const other = await context.newPage()
  await other.goto(product.at('/acme/affiliates'))
  assert.match(await words(other.locator('main')), /1 affiliate Name/)
  await other.close()
  await press('Import 1 row')
  await until(main, (text) => /1 row imported/.test(text), 'the import')
  await page.getByRole('link', { name: 'See all affiliates' }).click()
  const both = /2 affiliates .*Anna Lind anna@example\.com Active ANNA20 25 %.*Ben Adeyemi ben@example\.com Active BEN10 BEN-VIP 15 %/
  await until(main, (text) => both.test(text), 'both affiliates')
  await look('affiliates')
})

step(`${IMPORTED_ROWS} rows are imported, and again nothing`, async () => {
  const rows = Array.from({ length: IMPORTED_ROWS }, (_, n) => `Person ${n},person${n}@example.com,CODE${n},`)
  const text = ['name,email,code,rate', ...rows].join('\n')
  await page.goto(product.at('/acme/affiliates/import'))
  await page.getByLabel(/Paste the table/).fill(text)
  const began = Date.now()
  await press('Show what would happen')
  await page.getByRole('button', { name: 'Import 1,000 rows' }).waitFor()
  const shown = Date.now()
  await press('Import 1,000 rows')
  await until(main, (words) => /1,000 rows imported/.test(words), 'the import')
  console.log(`${IMPORTED_ROWS} rows: shown after ${shown - began} ms, imported after ${Date.now() - shown} ms`)
  await page.getByLabel(/Paste the table/).fill(text)
  await press('Show what would happen')
  await until(main, (words) => /0 rows would change something, 1,000 are so already/.test(words), 'the plan')
  assert.equal(await page.getByRole('button', { name: /^Import/ }).count(), 0)
})

step('somebody is found by a code, suspended and taken back', async () => {
  await page.goto(product.at('/acme/affiliates'))
  await page.getByLabel('Search').fill('ben-vip')
  await press('Show')
  await page.getByRole('link', { name: 'Ben Adeyemi' }).click()
  await press('Suspend Ben Adeyemi')
  await until(main, (text) => /Suspended\. What they earned stays/.test(text), 'the suspension')
  await look('affiliate-suspended')
  await page.goto(product.at('/acme/affiliates?status=suspended'))
  assert.match(await main(), /1 of 1,002 affiliates .*Ben Adeyemi .*Suspended/)
  await page.getByRole('link', { name: 'Ben Adeyemi' }).click()
  await press('Take Ben Adeyemi back')
  await until(main, (text) => /Active again/.test(text), 'the end of it')
})

/** This month where the vendor is, as 2026-11. */
const thisMonth = () =>
  new Intl.DateTimeFormat('sv', { timeZone: 'Pacific/Auckland', year: 'numeric', month: '2-digit' }).format(new Date())

/** Commission in minor units by affiliate and month, as the API sums the ledger. */
async function commissions(months) {
  const found = {}
  for (const month of months) {
    const [year, number] = month.split('-').map(Number)
    const last = new Date(Date.UTC(year, number, 0)).getUTCDate()
    const { rows } = await product.read('acme', 'live', `totals?group=affiliate&from=${month}-01&to=${month}-${last}`)
    for (const row of rows) for (const total of row.totals) found[`${row.label} ${month}`] = total.commission_minor
  }
  return found
}

const settled = () => until(() => product.read('acme', 'live', 'status'), (status) => status.settled, 'the ledger')

step('moving a code from a past day shows each month first, and comes to the same to the cent', async () => {
  // In Auckland, eight in the evening of 30 September in UTC is October already.
  await product.decide('acme', [{ decide: 'policy', time_zone: 'Pacific/Auckland' }])
  const sales = [
    ['2026-08-10T10:00:00Z', 4_999],
    ['2026-09-10T10:00:00Z', 7_777],
    ['2026-09-30T20:00:00Z', 1_234],
    ['2026-10-05T10:00:00Z', 3_331],
    ['2026-10-06T10:00:00Z', 9],
  ]
  for (const [at, price] of sales) {
    const created = Date.parse(at) / 1000
    assert.equal(await deliver(endpointUrl, SECRET, paidInvoice({ code: 'ANNA20', price, off: 0, created }).event), 200)
  }
  await settled()
  const months = ['2026-08', '2026-09', '2026-10', thisMonth()]
  const before = await commissions(months)
  await page.goto(product.at('/acme/affiliates/anna-lind'))
  await page.getByRole('link', { name: 'Move ANNA20 or give it a rule' }).click()
  await look('code')
  await page.getByLabel('Give it to').selectOption({ label: 'Ben Adeyemi (ben-adeyemi)' })
  await page.getByLabel('For sales from').first().fill('2026-09-01')
  await press('Move the code')
  await page.waitForURL(/\/codes\/change\?.*code=ANNA20/)
  assert.match(await main(), /ANNA20 goes to Ben Adeyemi, for sales from 1 Sept? 2026 5 of 6 purchases .* change\. Nothing is changed yet/)
  await look('code-change')
  const shown = await page.locator('.differences tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)))
  assert.deepEqual(await commissions(months), before, 'looking changes nothing')

  await press('Give ANNA20 to Ben Adeyemi')
  await until(main, (text) => /The code has its new owner/.test(text), 'the move')
  await settled()
  const now = await commissions(months)
  const month = (text) => new Date(`1 ${text} UTC`).toISOString().slice(0, 7)
  const amount = (text) => Number(text.replace(/[^\d−]/g, '').replace('−', '-'))
  const promised = { ...before }
  for (const [affiliate, name, then, next, difference] of shown) {
    const key = `${affiliate} ${month(name)}`
    assert.equal(amount(then), before[key] ?? 0, `${key} as it was`)
    assert.equal(amount(next) - amount(then), amount(difference), key)
    promised[key] = amount(next)
  }
  for (const key of new Set([...Object.keys(promised), ...Object.keys(now)])) assert.equal(now[key] ?? 0, promised[key] ?? 0, key)
  assert.equal(shown.length, 6, 'two people in September, October and this month')
  assert.equal(now['Anna Lind 2026-08'], before['Anna Lind 2026-08'], 'August is before the day')
  assert.equal(now['Ben Adeyemi 2026-10'], 185 + 500 + 1, 'three sales of October in Auckland, 15 % each')
})

step('a code that was used before anybody had it is credited late, as shown', async () => {
  assert.equal(await deliver(endpointUrl, SECRET, paidInvoice({ code: 'BEN10', price: 10_000, off: 0 }).event), 200)
  await settled()
  await page.goto(product.at('/acme/affiliates/anna-lind'))
  await page.getByLabel('Code', { exact: true }).fill('LATE')
  await page.getByText('Ids at the payment provider').click()
  await page.getByLabel(/Stripe promotion code id/).fill(CODES.BEN10.promotionCode)
  await press('Give this code')
  await page.waitForURL(/\/codes\/change\?/)
  const text = await main()
  assert.match(text, /LATE goes to Anna Lind, for all sales ever made with it 1 of 1 purchase/)
  assert.match(text, /Anna Lind \w+ 2026 0\.00 USD 25\.00 USD \+25\.00 USD/)
  await press('Give LATE to Anna Lind')
  await until(main, (words) => /The code has its new owner.*LATE Always/.test(words), 'the code')
  await settled()
  const month = thisMonth()
  await until(async () => (await commissions([month]))[`Anna Lind ${month}`], (amount) => amount === 2_500, 'the commission')
})

step('nothing was complained about', () => {
  assert.deepEqual(complaints, [])
})
