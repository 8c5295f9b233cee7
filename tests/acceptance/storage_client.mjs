// Storage as an app uses it with supabase-js, on a project that was just made. Told as one JSON object on standard output.
import { createClient } from '@supabase/supabase-js'

const given = JSON.parse(process.argv[2])
globalThis.WebSocket ??= class {}
const options = { auth: { persistSession: false, autoRefreshToken: false } }
const must = ({ data, error }) => { if (error) throw new Error(`${error.name}: ${error.message}`); return data }
const service = createClient(given.url, given.service, options).storage
const visitor = createClient(given.url, given.anon, options).storage

must(await service.createBucket('js', { public: false, fileSizeLimit: '1MB', allowedMimeTypes: ['text/plain', 'image/png'] }))
const files = service.from('js')
const picture = Buffer.from(given.picture, 'base64')
must(await files.upload('a/hello.txt', 'hello', { contentType: 'text/plain', metadata: { by: 'me' } }))
must(await files.upload('a/p.png', picture, { contentType: 'image/png' }))
const twice = (await files.upload('a/hello.txt', 'other', { contentType: 'text/plain' })).error.statusCode
const wrong = (await files.upload('a/x.pdf', 'x', { contentType: 'application/pdf' })).error.statusCode
must(await files.update('a/hello.txt', 'hello again', { contentType: 'text/plain' }))
const listed = must(await files.list('a', { sortBy: { column: 'name', order: 'desc' } })).map((each) => each.name)
const text = await must(await files.download('a/hello.txt')).text()
const info = must(await files.info('a/hello.txt'))
must(await files.copy('a/hello.txt', 'b.txt'))
must(await files.move('b.txt', 'c/d.txt'))
const there = [(await files.exists('c/d.txt')).data, (await files.exists('b.txt')).data]
const { signedUrl } = must(await files.createSignedUrl('a/hello.txt', 60, { download: 'x.txt' }))
const signed = await fetch(signedUrl)
const small = must(await files.createSignedUrl('a/p.png', 60, { transform: { width: 5, height: 5 } }))
const rendered = await fetch(small.signedUrl)
const many = must(await files.createSignedUrls(['a/hello.txt', 'none'], 60)).map((each) => Boolean(each.signedUrl))
const { token } = must(await files.createSignedUploadUrl('up.txt'))
must(await visitor.from('js').uploadToSignedUrl('up.txt', token, 'signed', { contentType: 'text/plain' }))
const hidden = (await visitor.from('js').download('up.txt')).error !== null
const removed = must(await files.remove(['a/hello.txt', 'a/p.png', 'c/d.txt', 'up.txt', 'none'])).length
must(await service.deleteBucket('js'))
console.log(JSON.stringify({
  twice, wrong, listed, text, size: info.size, by: info.metadata, there, many, hidden, removed,
  signed: [await signed.text(), signed.headers.get('content-disposition')],
  rendered: [rendered.status, rendered.headers.get('content-type'), rendered.headers.get('x-transformations')],
}))
