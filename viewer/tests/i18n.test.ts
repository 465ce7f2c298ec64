import { expect, test } from 'vitest'
import en from '../src/i18n/en'
import zh from '../src/i18n/zh-CN'

function leaves(o: object, at = ''): [string, string][] {
  return Object.entries(o).flatMap(([k, v]) => (typeof v === 'string' ? [[`${at}${k}`, v] as [string, string]] : leaves(v as object, `${at}${k}.`)))
}

test('both languages have the same texts with the same places', () => {
  const places = (s: string) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort()
  const a = new Map(leaves(zh))
  const b = new Map(leaves(en))
  expect([...b.keys()].sort()).toEqual([...a.keys()].sort())
  for (const [key, text] of a) expect([key, places(b.get(key)!)]).toEqual([key, places(text)])
  for (const text of [...a.values(), ...b.values()]) expect(text).not.toMatch(/[|@]/) // both mean something to vue-i18n
})
