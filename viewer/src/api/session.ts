import { requestJson, type Fetch } from './rest'

/** Who the hub takes the caller for. */
export interface Session {
  name: string
  role: string
}

export const ANONYMOUS: Session = { name: '', role: 'public' }
const path = '/api/v1/session'

/**
 * The token of a link like http://host/#token=…, taken out of the address bar
 * before anything else is done with it, so that it is in no screenshot and no
 * history entry. Undefined when there is none.
 */
export function takeToken(location: { hash: string; pathname: string; search: string }, history: { replaceState(d: unknown, t: string, url: string): void }): string | undefined {
  const fields = new URLSearchParams(location.hash.replace(/^#/, ''))
  const token = fields.get('token')
  if (token === null) return undefined
  fields.delete('token')
  const rest = fields.toString()
  history.replaceState(null, '', location.pathname + location.search + (rest ? `#${rest}` : ''))
  return token === '' ? undefined : token
}

/** Exchanges a token for a session cookie. Throws ApiError 401 when the hub does not know it. */
export async function signIn(fetcher: Fetch, token: string): Promise<void> {
  await requestJson(fetcher, 'POST', path, { token })
}

export async function signOut(fetcher: Fetch): Promise<void> {
  await requestJson(fetcher, 'DELETE', path)
}

export async function whoAmI(fetcher: Fetch): Promise<Session> {
  const s = await requestJson(fetcher, 'GET', path)
  if (typeof s !== 'object' || s === null) return ANONYMOUS
  const { name, role } = s as Record<string, unknown>
  return { name: typeof name === 'string' ? name : '', role: typeof role === 'string' ? role : 'public' }
}
