/** Schemas that several operations share, and rows as those shapes. */
import type { UserRow } from '../domain/context.ts'
import type { Window } from '../domain/pages.ts'
import {
  array,
  boolean,
  email,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  resource,
  string,
  text,
  uuid,
} from '../kernel/schema.ts'
import { fullName } from '../oidc/account.ts'

export const User = resource('User', {
  id: uuid(),
  email: nullable(email({ description: 'null for who signs in with a phone number alone' })),
  emailVerified: boolean(),
  name: optional(string()),
  givenName: nullable(string()),
  familyName: nullable(string()),
  nickname: nullable(string()),
  picture: nullable(string()),
  phoneNumber: nullable(string()),
  phoneNumberVerified: boolean(),
  locale: nullable(string()),
  zoneinfo: nullable(string()),
  status: oneOf(['active', 'disabled', 'deleted']),
  lastLoginAt: nullable(instant()),
  createdAt: instant(),
  updatedAt: instant(),
})

export const Tokens = resource('Tokens', {
  accessToken: string({ description: 'JWT (RFC 9068) or opaque' }),
  refreshToken: string({ description: 'Rotated at every use; using one twice ends the session' }),
  tokenType: oneOf(['Bearer']),
  expiresIn: integer({ description: 'Seconds the access token lives' }),
})

export const Session = resource('Session', {
  id: string(),
  kind: oneOf(['browser', 'api']),
  current: boolean(),
  clientId: nullable(string()),
  ip: nullable(string()),
  userAgent: nullable(string()),
  device: string({ description: 'In words, such as Firefox on Linux' }),
  deviceId: nullable(uuid()),
  country: nullable(string({ description: 'ISO 3166-1 alpha-2' })),
  city: nullable(string()),
  impersonated: boolean({ description: 'Somebody from support acts as the person in it' }),
  createdAt: instant(),
  lastUsedAt: instant(),
  expiresAt: instant(),
})

export const Done = object({ message: string() })
export const done = (message: string) => ({ message })

export const pageInput = {
  limit: optional(integer({ minimum: 1, maximum: 100, default: 50 })),
  offset: optional(integer({ minimum: 0, maximum: 1_000_000, default: 0 })),
}
/** For lists that are read on by next_cursor as well. */
export const cursorInput = {
  ...pageInput,
  cursor: optional(text(2000, { description: 'next_cursor of the page before, in place of an offset' })),
}
export const pageOf = (input: { limit?: number; offset?: number }) => ({
  limit: input.limit ?? 50,
  offset: input.offset ?? 0,
})

type Read<Item, More> = (window: Window) => Promise<{ items: Item[] } & More>
type Answered<Item, More> = Omit<More, 'items'> & Window & { items: Item[]; count: number }

/** A page as it is answered: `read` finds what is in the window that was asked for, `show` is for each of it. */
export async function paged<Item, More extends object, Shown>(
  input: Partial<Window>,
  read: Read<Item, More>,
  show: (item: Item) => Shown,
): Promise<Answered<Shown, More>>
export async function paged<Item, More extends object>(
  input: Partial<Window>,
  read: Read<Item, More>,
): Promise<Answered<Item, More>>
export async function paged(
  input: Partial<Window>,
  read: Read<unknown, object>,
  show: (item: unknown) => unknown = (item) => item,
) {
  const window = pageOf(input)
  const { items, ...more } = await read(window)
  return { ...more, items: items.map(show), count: items.length, ...window }
}

export const Password = text(1024, { secret: true })
export const personNames = {
  givenName: optional(nullable(text(100))),
  familyName: optional(nullable(text(100))),
}
/** In paths, too; of what one can see. */
export const RoleName = text(100, { pattern: '^[^\\s\\p{C}/][^\\p{C}/]*$' })
/** Part of addresses. */
export const slug = (description?: string) =>
  text(63, { pattern: '^[a-z0-9](|[a-z0-9-]{0,61}[a-z0-9])$', ...(description && { description }) })
/** Who is a member of something. */
export const Member = object({ id: uuid(), email: nullable(email()), name: nullable(string()) })
export const stringList = (maxItems = 100) => array(text(2000), { maxItems })

export function userView(user: UserRow) {
  return {
    id: user.id,
    email: user.email,
    emailVerified: user.email_verified_at !== null,
    name: fullName(user),
    givenName: user.given_name,
    familyName: user.family_name,
    nickname: user.nickname,
    picture: user.picture,
    phoneNumber: user.phone_number,
    phoneNumberVerified: user.phone_verified_at !== null,
    locale: user.locale,
    zoneinfo: user.zoneinfo,
    status: user.status,
    lastLoginAt: user.last_login_at,
    createdAt: user.created_at,
    updatedAt: user.updated_at,
  }
}
