// What the operator sets, and what follows from it.

import { credential, settings } from 'sheaf:connector/host@0.1.0';

import { fault, resolve } from './web.js';

const URLS = { type: 'array', items: { type: 'string', pattern: '^https?://[^/]' } };
const NAMES = { type: 'array', items: { type: 'string' } };

export const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    sitemap: {
      type: 'string',
      pattern: '^https?://[^/]',
      description: "The URL of the site's sitemap, or of its index of sitemaps.",
    },
    include: {
      ...URLS,
      description: 'Read the pages whose URLs begin with one of these. Nothing said means all.',
    },
    exclude: {
      ...URLS,
      description: 'Leave out the pages whose URLs begin with one of these.',
    },
    access: {
      anyOf: [
        { const: 'everyone' },
        {
          type: 'object',
          properties: { users: NAMES, groups: NAMES },
          additionalProperties: false,
        },
      ],
      description:
        'Who may find the pages: "everyone", or { users = [e-mails], groups = [names] }. ' +
        'Nothing said means that nobody may.',
    },
    credential: {
      type: 'string',
      enum: ['site'],
      description: 'Send the granted credential `site` as the `authorization` header.',
    },
  },
  required: ['sitemap'],
  additionalProperties: false,
};

// The settings fit the schema: the host has seen to it.
export function read() {
  const said = JSON.parse(settings());
  const sitemap = resolve(said.sitemap);
  if (!sitemap) throw fault('fix-settings', `'${said.sitemap}' is no address on the web.`);
  return { ...said, sitemap, access: access(said.access) };
}

function access(said) {
  if (said === undefined) return { tag: 'unknown' };
  if (said === 'everyone') return { tag: 'everyone' };
  const { users = [], groups = [] } = said;
  return {
    tag: 'restricted',
    val: { users: users.map((email) => ({ email })), groups, groupIntersections: [] },
  };
}

// A stand-in for the credential, if there is one to send.
export function authorization(name) {
  if (name === undefined) return undefined;
  try {
    return credential(name);
  } catch (error) {
    throw fault('fix-settings', `\`credential\` cannot be used: ${error.payload}.`);
  }
}
