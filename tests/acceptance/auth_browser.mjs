// A browser that uses an app with supabase-js: signs in at an OpenID provider by PKCE, adds a passkey and comes back by
// it, and has an authenticator as second factor. Told as one JSON object on standard output.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import puppeteer from 'puppeteer-core'

const given = JSON.parse(process.argv[2])
const script = readFileSync(given.script)
const page_of_app = `<!doctype html><title>app</title><script src="/supabase.js"></script><script>
  const made = supabase.createClient(${JSON.stringify(given.url)}, ${JSON.stringify(given.anon)},
    { auth: { flowType: 'pkce', autoRefreshToken: false, experimental: { passkey: true } } })
  window.auth = made.auth
  window.must = ({ data, error }) => { if (error) throw new Error((error.code || error.name) + ': ' + error.message); return data }
  window.ready = made.auth.initialize().then(must)
</script>`
const site = createServer((asked, answer) => {
  const is_script = asked.url === '/supabase.js'
  answer.setHeader('Content-Type', is_script ? 'text/javascript' : 'text/html')
  answer.end(is_script ? script : page_of_app)
}).listen(given.port, 'localhost')

const browser = await puppeteer.launch({
  executablePath: given.chromium, headless: 'shell', userDataDir: given.folder, timeout: 90000, protocolTimeout: 90000,
  args: ['--no-sandbox', '--disable-gpu', '--no-zygote', '--disable-dev-shm-usage', ...given.options],
})
const page = await browser.newPage()
page.setDefaultTimeout(40000)
try {
  const seen = []
  page.on('request', (asked) => asked.isNavigationRequest() && seen.push(asked.url()))
  const devtools = await page.createCDPSession()
  await devtools.send('WebAuthn.enable')
  const authenticator = (transport) =>
    devtools.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2', transport, hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    })
  const { authenticatorId: phone } = await authenticator('internal')
  const home = `http://localhost:${given.port}/`
  const leave = (button) => Promise.all([page.waitForNavigation({ waitUntil: 'load' }), page.click(button)])

  // OAuth, by PKCE
  await page.goto(home)
  await Promise.all([
    page.waitForSelector('input[name=login]'),
    page.evaluate((to) => ready.then(() => auth.signInWithOAuth({ provider: 'keycloak', options: { redirectTo: to } })).then(() => null), `${home}welcome`),
  ])
  await page.type('input[name=login]', given.login)
  await page.type('input[name=password]', 'whatever')
  await leave('[type=submit]')
  await leave('[type=submit]')
  await page.waitForFunction(() => window.ready && ready.then(() => auth.getUser()).then(({ data }) => Boolean(data.user)))
  const joined = await page.evaluate(() => auth.getUser().then(must).then(({ user }) => ({ id: user.id, email: user.email, provider: user.app_metadata.provider })))
  const came_by_code = seen.some((url) => url.startsWith(`${home}welcome?code=`))
  const fragments = seen.filter((url) => url.includes('access_token'))

  // A passkey
  const passkey = await page.evaluate(async () => {
    must(await auth.registerPasskey())
    must(await auth.signOut().then((answer) => ({ ...answer, data: true })))
    const gone = (await auth.getSession()).data.session === null
    const { user } = must(await auth.signInWithPasskey())
    return { gone, id: user.id }
  })

  // A second factor: the client asks for one that is plugged in. Of both, one is touched.
  const { authenticatorId: key } = await authenticator('usb')
  const touch = (which) =>
    Promise.all([phone, key].map((authenticatorId) =>
      devtools.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled: authenticatorId === which })))
  const level = () => page.evaluate(() => auth.mfa.getAuthenticatorAssuranceLevel().then(must).then((found) => found.currentLevel))
  await touch(key)
  await page.evaluate(() => auth.mfa.webauthn.register({ friendlyName: 'key' }).then(must).then(() => null))
  const levels = [await level()]
  await page.evaluate(() => auth.signOut({ scope: 'local' }).then(() => null))
  await touch(phone)
  await page.evaluate(() => auth.signInWithPasskey().then(must).then(() => null))
  levels.push(await level())
  await touch(key)
  const factors = await page.evaluate(async () => {
    const found = must(await auth.mfa.listFactors()).webauthn
    must(await auth.mfa.webauthn.authenticate({ factorId: found[0].id }))
    return found.length
  })
  levels.push(await level())
  const factor = { levels, factors }

  // Another authenticator knows nobody
  for (const authenticatorId of [phone, key]) await devtools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId })
  await authenticator('internal')
  const stranger = await page.evaluate(() => auth.signInWithPasskey().then(({ error }) => error?.name))
  console.log(JSON.stringify({ joined, came_by_code, fragments: fragments.length, passkey, factor, stranger }))
} catch (error) {
  console.error(page.url(), await page.content())
  throw error
} finally {
  await browser.close()
  site.close()
}
