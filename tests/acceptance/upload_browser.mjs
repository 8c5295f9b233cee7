// A browser that uploads a file by tus-js-client, as the documentation shows it. Tells on standard output, a line of JSON
// each, that the third part is under way, and how it ended.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import puppeteer from 'puppeteer-core'

const given = JSON.parse(process.argv[2])
const script = readFileSync(given.script)
const site = createServer((asked, answer) => {
  const is_script = asked.url === '/tus.js'
  answer.setHeader('Content-Type', is_script ? 'text/javascript' : 'text/html')
  answer.end(is_script ? script : '<!doctype html><title>app</title><script src="/tus.js"></script>')
}).listen(given.port, 'localhost')

const browser = await puppeteer.launch({
  executablePath: given.chromium, headless: 'shell', userDataDir: given.folder, timeout: 90000, protocolTimeout: 240000,
  args: ['--no-sandbox', '--disable-gpu', '--no-zygote', '--disable-dev-shm-usage', ...given.options],
})
try {
  const page = await browser.newPage()
  await page.goto(`http://localhost:${given.port}/`)
  await page.exposeFunction('told', (what) => console.log(JSON.stringify(what)))
  const devtools = await page.createCDPSession()
  await devtools.send('Network.enable')
  await devtools.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 6e6 })
  const ended = await page.evaluate(async (given) => {
    const content = new Uint8Array(given.size)
    for (let at = 0; at < content.length; at++) content[at] = (at * 31 + (at >> 8)) & 255
    const file = new File([content], 'film.mp4', { type: 'video/mp4' })
    const requests = []
    let said = false
    await new Promise((resolve, reject) => {
      const upload = new tus.Upload(file, {
        endpoint: `${given.url}/storage/v1/upload/resumable`,
        retryDelays: [0, 500, 1000, 1000, 2000, 2000, 3000, 3000, 5000, 5000, 5000, 5000],
        headers: { authorization: `Bearer ${given.token}`, 'x-upsert': 'true' },
        uploadDataDuringCreation: true,
        removeFingerprintOnSuccess: true,
        metadata: { bucketName: given.bucket, objectName: 'me/film.mp4', contentType: 'video/mp4', cacheControl: '3600' },
        chunkSize: 6 * 1024 * 1024,
        onBeforeRequest: (asked) => { requests.push([asked.getMethod(), asked.getHeader('Upload-Offset')]) },
        onProgress: (sent) => {
          if (!said && sent > 13 * 1024 * 1024) { said = true; window.told({ sent }) }
        },
        onError: reject,
        onSuccess: resolve,
      })
      upload.findPreviousUploads().then((found) => {
        if (found.length) upload.resumeFromPreviousUpload(found[0])
        upload.start()
      })
    })
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', content))
    return { requests, sha256: [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('') }
  }, given)
  console.log(JSON.stringify(ended))
} finally {
  await browser.close()
  site.close()
}
