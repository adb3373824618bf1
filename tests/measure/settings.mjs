// Settings of the scripts beside it.

/** A whole number from the environment. */
export function numberOr(name, fallback) {
  const text = process.env[name]
  if (text === undefined || text === '') return fallback
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1) {
    console.error(`${name} must be a whole number from 1 on, not "${text}"`)
    process.exit(2)
  }
  return number
}
