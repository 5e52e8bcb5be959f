/** What is typed after the name of a command. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** Where it is not understood, says so with the usage and ends with 2. */
export function readArguments<T extends ParseArgsOptionsConfig>(options: T, usage: string) {
  try {
    return parseArgs({ allowPositionals: true, options })
  } catch (error) {
    console.error(`${(error as Error).message.split('. ')[0]}\n${usage}`)
    process.exit(2)
  }
}
