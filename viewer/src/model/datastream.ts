// The entities of the stream as the viewer holds them, in SensorThings words.

/** A result as it travels: a number, a category or a truth value. */
export type Result = number | string | boolean

/** One observation: datastream id, phenomenon time in ms since 1970 UTC (fractional when finer), result, quality mark. */
export type WireObservation = [id: number, timeMs: number, result: Result, quality: number]

/** A Datastream with what is shown of its Thing and ObservedProperty. */
export interface Datastream {
  id: number
  terminal: string
  name: string
  nameEn: string
  property: string
  title: string
  titleEn: string
  /** Symbol as shown, e.g. µg/m³; empty for counts and categories. */
  unit: string
  ucum: string
  result: string
  domain: string
  /** WGS 84 degrees; null when the terminal has no Location. */
  lon: number | null
  lat: number | null
  dataset: string
  /** Readings come from a generator or a replay and must say so wherever they show. */
  simulated: boolean
}

/** The languages of the viewer, as BCP 47 tags. */
export type Language = 'zh-CN' | 'en'

/** Name of the terminal in a language; the other one, then the code, when it has none. */
export function terminalName(d: Pick<Datastream, 'name' | 'nameEn' | 'terminal'>, language: Language): string {
  return (language === 'en' ? d.nameEn || d.name : d.name || d.nameEn) || d.terminal
}

/** Title of the observed property in a language; its short name when it has none. */
export function propertyTitle(d: Pick<Datastream, 'title' | 'titleEn' | 'property'>, language: Language): string {
  return (language === 'en' ? d.titleEn || d.title : d.title || d.titleEn) || d.property
}

/** The five fields in which terminals are managed (苏州市数据条例 第四十一条), in the order of the article. */
export const DOMAINS = ['city-management', 'public-safety', 'transport', 'environment', 'emergency'] as const
export type Domain = (typeof DOMAINS)[number]

export function isDomain(s: string): s is Domain {
  return (DOMAINS as readonly string[]).includes(s)
}

/** Names of the five quality marks (IOC Manuals and Guides 54 vol. 3); anything else is shown as not evaluated. */
export type QualityName = 'good' | 'notEvaluated' | 'suspect' | 'bad' | 'missing'

export function qualityName(mark: number): QualityName {
  switch (mark) {
    case 1:
      return 'good'
    case 3:
      return 'suspect'
    case 4:
      return 'bad'
    case 9:
      return 'missing'
    default:
      return 'notEvaluated'
  }
}
