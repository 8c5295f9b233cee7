// What an app does with supabase-js, told as one JSON object on standard output.
import { createHmac } from 'node:crypto'
import { createClient } from '@supabase/supabase-js'

const { url, anon, service, email } = JSON.parse(process.argv[2])
const password = 'a horse that nobody staples'
const auth = { persistSession: false, autoRefreshToken: false }
const realtime = { transport: class {} } // older Node has no WebSocket, and nothing here needs one
const client = (key) => createClient(url, key, { auth, realtime })
const must = ({ data, error }) => {
  if (error) throw new Error(`${error.code}: ${error.message}`)
  return data
}

const app = client(anon)
const signedUp = must(await app.auth.signUp({ email, password, options: { data: { name: 'Ann' } } }))
must(await app.from('diary').insert({ id: 7, body: 'mine' }))
const rows = must(await app.from('diary').select('id'))
const foreign = must(await client(anon).from('diary').select('id'))
const before = signedUp.session.refresh_token
const refreshed = must(await app.auth.refreshSession())
const { user } = must(await app.auth.updateUser({ data: { name: 'Bob' } }))
const wrong = await client(anon).auth.signInWithPassword({ email, password: 'another' })
const nobody = must(await client(anon).auth.signInAnonymously())
// A second factor: codes by the clock (RFC 6238), of which none is taken twice
const codeOf = (secret, ahead) => {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('')
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + ahead))
  const mac = createHmac('sha1', Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))).update(counter).digest()
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0')
}
const levelOf = async (one) => must(await one.auth.mfa.getAuthenticatorAssuranceLevel()).currentLevel
const factor = must(await app.auth.mfa.enroll({ factorType: 'totp' }))
must(await app.auth.mfa.challengeAndVerify({ factorId: factor.id, code: codeOf(factor.totp.secret, 0) }))
const again = client(anon)
must(await again.auth.signInWithPassword({ email, password }))
const levels = [await levelOf(app), await levelOf(again)]
must(await again.auth.mfa.challengeAndVerify({ factorId: factor.id, code: codeOf(factor.totp.secret, 1) }))
levels.push(await levelOf(again))
const { users } = must(await client(service).auth.admin.listUsers())
must(await app.auth.signOut().then((answer) => ({ ...answer, data: true })))

console.log(
  JSON.stringify({
    signedUp: Boolean(signedUp.session),
    rows,
    foreign,
    refreshed: refreshed.session.refresh_token !== before,
    name: user.user_metadata.name,
    wrong: wrong.error.code,
    anonymous: nobody.user.is_anonymous,
    levels,
    listed: users.some((one) => one.id === user.id),
    signedOut: (await app.auth.getSession()).data.session === null,
  })
)
