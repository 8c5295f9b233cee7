// What an app does with supabase-js, told as one JSON object on standard output.
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
    listed: users.some((one) => one.id === user.id),
    signedOut: (await app.auth.getSession()).data.session === null,
  })
)
