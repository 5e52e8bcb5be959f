/**
 * What a tenant's configuration is made of, section by section. Entries have natural keys and change by the operations of the admin
 * API, whose permissions and schemas hold here as well.
 */
import { brandingSection, textsSection } from './branding.ts'
import { clientsSection } from './clients.ts'
import { permissionsSection } from './permissions.ts'
import { providersSection } from './providers.ts'
import { resourcesSection } from './resources.ts'
import { roleSections } from './roles.ts'
import type { Section } from './section.ts'
import { settingsSection } from './settings.ts'

/** Built up in this order, taken down in the reverse. Entries of one group may refer to each other. */
export const groups: Section[][] = [
  [settingsSection],
  [permissionsSection],
  [resourcesSection],
  [clientsSection],
  roleSections,
  [providersSection],
  [brandingSection],
  [textsSection],
]
