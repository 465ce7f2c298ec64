/** An answer of the hub that is no success, from its problem+json (RFC 9457) where it sent one. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint = '',
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

/** The fetch of the browser, or a test's. */
export type Fetch = (input: string, init?: RequestInit) => Promise<Response>

/** Sends a request to the hub and reads JSON; undefined for an empty answer. Throws ApiError, or TypeError when the hub cannot be reached. */
export async function requestJson(fetcher: Fetch, method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  const init: RequestInit = { method, headers, credentials: 'same-origin' }
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json'
    init.body = JSON.stringify(body)
  }
  if (signal) init.signal = signal
  const res = await fetcher(path, init)
  const text = await res.text()
  let json: unknown
  try {
    json = text === '' ? undefined : JSON.parse(text)
  } catch {
    if (res.ok) throw new ApiError(res.status, 'the hub did not answer with JSON')
  }
  if (!res.ok) {
    const p = typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {}
    const detail = p['detail'] ?? p['title']
    throw new ApiError(res.status, typeof detail === 'string' ? detail : `HTTP ${res.status}`, typeof p['hint'] === 'string' ? p['hint'] : '')
  }
  return json
}
