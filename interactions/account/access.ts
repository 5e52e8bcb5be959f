/** Where the account is signed in and who else may use it: sessions, devices, apps; and what happened to it. */
import { agentLabel } from '../../adapters/agents.ts'
import { transact } from '../../server/api/pipeline.ts'
import * as consents from '../../server/domain/consents.ts'
import * as devices from '../../server/domain/devices/owned.ts'
import * as factors from '../../server/domain/factors.ts'
import * as history from '../../server/domain/history.ts'
import * as sessions from '../../server/domain/sessions.ts'
import { fail } from '../../server/kernel/errors.ts'
import { keepDevice } from '../device-cookie.ts'
import { readForm } from '../page.ts'
import { goOn, type Member, type MemberHandler, show } from './area.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** An id that a form of ours named. */
const idOf = (value: string | undefined): string => {
  if (!value || !UUID.test(value)) throw fail('NOT_FOUND', 'No such thing')
  return value
}
const ALL = { limit: 100, offset: 0 }

export const showSessions: MemberHandler = async (m) => {
  const { items } = await sessions.list(m.ctx, m.user.id, ALL)
  const names = await appNames(
    m,
    items.map(({ clientId }) => clientId),
  )
  show(m, 'sessions', {
    sessions: items
      .map((session) => ({ ...session, app: session.kind === 'api' ? names.get(session.clientId ?? '') : undefined }))
      .sort((a, b) => Number(b.current) - Number(a.current)),
  })
}

/** What apps call themselves, by client_id. */
async function appNames({ ctx }: Member, ids: (string | null)[]): Promise<Map<string, string>> {
  const known = new Map<string, string>()
  for (const id of new Set(ids)) {
    const client = id && (await ctx.out.directory.client(ctx.tenant.id, id))
    if (client) known.set(client.clientId, String(client.metadata.client_name ?? client.clientId))
  }
  return known
}

export const endSession: MemberHandler = async (m) => {
  const { id = '' } = await readForm(m.koa)
  if (id === m.session.uid) throw fail('VALIDATION_ERROR', 'Sign out to end this session')
  await transact(m.ctx, (inner) => sessions.end(inner, m.user.id, id))
  goOn(m, 'sessions', 'session')
}

export const endOthers: MemberHandler = async (m) => {
  await readForm(m.koa)
  await transact(m.ctx, (inner) => sessions.endAll(inner, m.user.id, m.session.uid))
  goOn(m, 'sessions', 'sessions')
}

export const showDevices: MemberHandler = async (m) => {
  const { items } = await devices.list(m.ctx, m.user.id, ALL)
  show(m, 'devices', {
    devices: items.sort((a, b) => Number(b.current) - Number(a.current)),
    trustDays: m.ctx.tenant.settings.device_trust_days,
    mayTrust: (await factors.list(m.ctx, m.user.id)).length > 0,
  })
}

const deviceActions: Record<string, (m: Member, id: string) => (inner: Member['ctx']) => Promise<unknown>> = {
  remove: (m, id) => (inner) => devices.remove(inner, m.user.id, id),
  block: (m, id) => (inner) => devices.block(inner, m.user.id, id),
  unblock: (m, id) => (inner) => devices.unblock(inner, m.user.id, id),
  distrust: (m, id) => (inner) => devices.distrust(inner, m.user.id, id),
}

export const changeDevice: MemberHandler = async (m) => {
  const form = await readForm(m.koa)
  const action = deviceActions[form.action ?? '']
  if (!action) throw fail('VALIDATION_ERROR', 'No such action')
  await transact(m.ctx, (inner) => action(m, idOf(form.id))(inner as Member['ctx']))
  goOn(m, 'devices', `device-${form.action}`)
}

/** The device skips the second factor from now on. One that kept no secret is given it here. */
export const trustDevice: MemberHandler = async (m) => {
  const form = await readForm(m.koa)
  const { deviceToken } = await transact(m.ctx, (inner) => devices.trust(inner, idOf(form.id)))
  if (deviceToken) {
    m.ctx.request.deviceToken = deviceToken
    keepDevice(m.koa, m.ctx)
  }
  goOn(m, 'devices', 'device-trust')
}

export const showApps: MemberHandler = async (m) => show(m, 'apps', { apps: await consents.list(m.ctx, m.user.id) })

export const revokeApp: MemberHandler = async (m) => {
  const { client_id: clientId = '' } = await readForm(m.koa)
  await transact(m.ctx, (inner) => consents.revoke(inner, m.user.id, clientId.slice(0, 255)))
  goOn(m, 'apps', 'app')
}

const PAGE = 25

export const showHistory: MemberHandler = async (m) => {
  const { query } = m.koa
  const kind = query.kind === 'security' ? 'security' : 'logins'
  const cursor = typeof query.before === 'string' ? idOf(query.before) : undefined
  const { items, nextCursor } = await history.list(m.ctx, m.user.id, kind, { limit: PAGE, offset: 0, cursor })
  const names = await appNames(
    m,
    items.map(({ clientId }) => clientId),
  )
  show(m, 'history', {
    kind,
    first: cursor === undefined,
    older: nextCursor && `?${new URLSearchParams({ kind, before: nextCursor })}`,
    entries: items.map((entry) => ({
      ...entry,
      device: entry.userAgent ? agentLabel(entry.userAgent) : undefined,
      app: names.get(entry.clientId ?? ''),
      byOther: entry.actorId !== null && entry.actorId !== m.user.id,
    })),
  })
}
