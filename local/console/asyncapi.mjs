// node asyncapi.mjs FILE: validates an AsyncAPI document with the AsyncAPI
// initiative's own parser, and fails on every error and warning.
import {readFileSync} from 'node:fs'
import {Parser} from '@asyncapi/parser'

const file = process.argv[2]
const {document, diagnostics} = await new Parser().parse(readFileSync(file, 'utf8'), {source: file})
const severe = diagnostics.filter(d => d.severity <= 1)
for (const d of severe) {
  console.error(`${file}:${d.range.start.line + 1}: ${d.message} (${d.code}, ${d.path.join('.')})`)
}
if (!document || severe.length > 0) process.exit(1)
console.log(`${file}: AsyncAPI ${document.version()}, ${document.allMessages().all().length} messages, valid`)
