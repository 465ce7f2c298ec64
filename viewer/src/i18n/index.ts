import { createI18n } from 'vue-i18n'
import type { Language } from '../model/datastream'
import en from './en'
import zh from './zh-CN'

const stored = 'cityhub.language'

/** The language chosen before, or the first of the browser's that we speak; Chinese where it speaks neither. */
export function firstLanguage(remembered: string | null, preferred: readonly string[]): Language {
  if (remembered === 'zh-CN' || remembered === 'en') return remembered
  for (const p of preferred) {
    if (p.toLowerCase().startsWith('zh')) return 'zh-CN'
    if (p.toLowerCase().startsWith('en')) return 'en'
  }
  return 'zh-CN'
}

/** Storage may be forbidden; then the choice lasts for this page. */
export function rememberedLanguage(): string | null {
  try {
    return localStorage.getItem(stored)
  } catch {
    return null
  }
}

export function rememberLanguage(l: Language): void {
  try {
    localStorage.setItem(stored, l)
  } catch {
    // as above
  }
}

export const i18n = createI18n({
  legacy: false,
  locale: firstLanguage(rememberedLanguage(), navigator.languages) as string,
  fallbackLocale: 'en',
  messages: { 'zh-CN': zh, en },
})
