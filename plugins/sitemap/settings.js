// What the operator sets, and what follows from it.

import { Fault, only } from 'sheaf-sdk';
import { resolve } from 'sheaf-sdk/http';

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
export function read(said) {
  const sitemap = resolve(said.sitemap);
  if (!sitemap) throw Fault.fixSettings(`'${said.sitemap}' is no address on the web.`);
  return { ...said, sitemap, access: access(said.access) };
}

function access(said) {
  if (said === undefined) return 'unknown';
  return said === 'everyone' ? said : only(said.users, said.groups);
}
