// A connector for Sheaf. What it reads is in source.js; here that becomes documents.

import { Fault, complete, log, more } from 'sheaf-sdk';

import { FIRST_PAGE, Source } from './source.js';

const CATEGORY = 'KNOWLEDGE_HUB';
const OBJECT_TYPE = 'Note';

// What the operator sets. They read the descriptions.
const SETTINGS = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    url: {
      type: 'string',
      pattern: '^https?://[^/]',
      description:
        'Where the notes are, such as https://notes.example.com/api. Left out, the folder /sample is read.',
    },
  },
  additionalProperties: false,
};

/** @type {import('sheaf-sdk').Connector<{ url?: string }>} */
export default {
  manifest: {
    name: '{{name}}',
    version: '0.1.0',
    description: 'Reads notes.',
    settings: SETTINGS,
    hosts: ['{url}'],
    folders: 'The sample, as long as there is no `url`.',
    incremental: true,
  },

  datasource: () => ({
    displayName: '{{title}}',
    datasourceCategory: CATEGORY,
    // Documents whose address does not match are quarantined.
    urlRegex: 'https://notes\\.example\\.com/.*',
    isUserReferencedByEmail: true,
    objectDefinitions: [{ name: OBJECT_TYPE, docCategory: CATEGORY }],
  }),

  async check({ url }) {
    const { notes } = await new Source(url).page(FIRST_PAGE);
    return `Notes on the first page: ${notes.length}.`;
  },

  open: ({ url }, crawl) => new Reading(new Source(url), crawl),
};

/** A crawl under way. */
export class Reading {
  /**
   * @param {Source} source
   * @param {Partial<import('sheaf-sdk').Crawl>} crawl
   */
  constructor(source, { bookmark, resume }) {
    this.source = source;
    // What changed since then is read; nothing said means everything.
    this.since = bookmark === undefined ? undefined : remembered(bookmark).newest;
    // Where it is: the page that is read next, and when the newest note so far was changed.
    this.place = resume === undefined ? { page: FIRST_PAGE, newest: this.since ?? 0 } : remembered(resume);
    log.info(`reading from ${this.place.page}`);
  }

  // A page of the source becomes a page here. A source that takes a page's size is given `limits`.
  async next() {
    const { notes, next } = await this.source.page(this.place.page);
    const { since = -Infinity } = this;
    // Several notes may have the time of the newest: that one is read again.
    const fresh = notes.filter(({ updated }) => updated >= since);
    const newest = Math.max(this.place.newest, ...fresh.map(({ updated }) => updated));
    const documents = fresh.filter(({ deleted }) => !deleted).map(documentOf);
    const page = next
      ? more(documents, JSON.stringify({ page: next, newest }))
      : complete(documents, JSON.stringify({ newest }));
    this.place = { page: next ?? this.place.page, newest };
    // A full crawl deletes what it does not deliver. An incremental one has to say so.
    if (this.since !== undefined) {
      const gone = fresh.filter(({ deleted }) => deleted);
      page.deleted = gone.map(({ id }) => ({ id, objectType: OBJECT_TYPE }));
    }
    return page;
  }
}

/**
 * A bookmark or a checkpoint. What an earlier version handed out may come back: then this scope is read from its
 * beginning.
 * @param {string} text
 */
function remembered(text) {
  try {
    const found = JSON.parse(text);
    if (Number.isInteger(found.newest)) return found;
  } catch {
    // It is none of ours.
  }
  throw Fault.startOver('This is no checkpoint or bookmark of this version.');
}

/**
 * @param {import('./source.js').Note} note
 * @returns {import('sheaf-sdk').Document}
 */
function documentOf({ id, title, text = '', url = '', author, updated }) {
  return {
    id,
    objectType: OBJECT_TYPE,
    viewUrl: url,
    // Everyone may find these. Where a source knows who may, say so: `only(users, groups)`.
    access: 'everyone',
    title,
    body: { mimeType: 'text/plain', data: text },
    author: author ? { email: author } : undefined,
    updatedAt: updated,
  };
}
