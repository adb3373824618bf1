// The steps of a journey build on each other: after the first that fails, the rest fail at once and say why.

import { test } from 'node:test'

let failed = ''

/** One step, as a test of its own. */
export function step(name, check) {
  test(name, async (context) => {
    if (failed) throw new Error(`not reached, because this step failed before: ${failed}`)
    try {
      await check(context)
    } catch (error) {
      failed = name
      throw error
    }
  })
}
