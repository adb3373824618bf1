// Opens files with LibreOffice, as somebody does who was sent one.

import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const CONVERT_WITHIN_MS = 120_000
/** Commas, double quotes, UTF-8, from the first line: what its dialogue offers for such a file. */
const READ_CSV = 'CSV:44,34,76,1'
/** The same; all texts in quotes, so that they differ from numbers; numbers in full and not as shown. */
const WRITE_CSV = 'csv:Text - txt - csv (StarCalc):44,34,76,1,,0,true,true,false'

/**
 * The cells of a .csv or .xlsx file as LibreOffice understands them, row by row: `{ text }` or `{ number }`, the latter
 * written in full. Fails with an instruction when LibreOffice is not there.
 */
export async function openedByLibreOffice(path) {
  const home = mkdtempSync(join(tmpdir(), 'affilitrack-libreoffice-'))
  try {
    const words = ['--headless', `-env:UserInstallation=${pathToFileURL(join(home, 'profile'))}`]
    if (path.endsWith('.csv')) words.push(`--infilter=${READ_CSV}`)
    words.push('--convert-to', WRITE_CSV, '--outdir', join(home, 'converted'), path)
    await run(process.env.SOFFICE || 'soffice', words, { timeout: CONVERT_WITHIN_MS, env: { ...process.env, HOME: home } })
    const written = basename(path).replace(/\.\w+$/, '.csv')
    return cellsOf(readFileSync(join(home, 'converted', written), 'utf8'))
  } catch (error) {
    if (error.code !== 'ENOENT' || error.syscall?.startsWith('spawn') !== true) throw error
    throw new Error('soffice is not there: run `bash scripts/setup.sh test` (Debian: libreoffice-calc-nogui), or set SOFFICE')
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/** Rows of a CSV text whose texts are all in quotes. */
function cellsOf(text) {
  const rows = [[]]
  for (const [, quoted, plain, end] of text.replace(/^\uFEFF/, '').matchAll(/(?:"((?:[^"]|"")*)"|([^,"\r\n]*))(,|\r?\n|$)/g)) {
    if (quoted === undefined && plain === '' && end === '') break
    rows.at(-1).push(quoted !== undefined || plain === '' ? { text: (quoted ?? '').replaceAll('""', '"') } : { number: plain })
    if (end.endsWith('\n')) rows.push([])
  }
  return rows.filter((row) => row.length > 0)
}
