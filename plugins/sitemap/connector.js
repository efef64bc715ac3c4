// A connector for web sites: a document for each page that the sitemap lists. Where that is an index,
// each of its sitemaps is a scope.

import { Fault, complete, log, more } from 'sheaf-sdk';

import { SCHEMA, read as readSettings } from './settings.js';
import { OBJECT_TYPE, Site } from './site.js';
import { select } from './sitemap.js';

const CATEGORY = 'PUBLISHED_CONTENT';
// So many pages are fetched at once. Each is small enough that the host takes them all together.
const AT_ONCE = 4;
// The host ends a call that takes too long, and a site may be slow.
const MAX_MILLISECONDS = 20_000;
// `lastmod` is often a date only: what changed on the newest day may have changed again.
const DAY = 24 * 60 * 60;

class Cursor {
  constructor(site, entries, newest) {
    this.site = site;
    this.entries = entries;
    this.newest = newest;
    this.done = 0;
  }

  async next(limits) {
    const end = Math.min(this.done + limits.documents, this.entries.length);
    const deadline = Date.now() + MAX_MILLISECONDS;
    const documents = [];
    const unreadable = [];
    let bytes = 0;
    while (this.done < end && bytes < limits.bytes && Date.now() < deadline) {
      const batch = this.entries.slice(this.done, Math.min(this.done + AT_ONCE, end));
      const results = await Promise.allSettled(batch.map((entry) => this.site.page(entry)));
      const failed = results.findIndex(({ status }) => status === 'rejected');
      const read = failed < 0 ? results : results.slice(0, failed);
      for (const { value } of read) {
        if (value.document) documents.push(value.document);
        else unreadable.push(value.unreadable);
        bytes += value.bytes ?? 0;
      }
      this.done += read.length;
      if (failed >= 0) {
        // What was read is delivered first. What failed is tried again with the next call.
        if (documents.length + unreadable.length === 0) throw results[failed].reason;
        break;
      }
    }
    return { ...this.page(documents), unreadable };
  }

  page(documents) {
    const { newest } = this;
    if (this.done === this.entries.length) return complete(documents, JSON.stringify({ newest }));
    // A place in the order of the URLs, so that a sitemap may change on the way.
    const after = this.entries[this.done - 1].url;
    return more(documents, JSON.stringify({ after, newest }));
  }
}

export default {
  manifest: {
    name: 'sitemap',
    version: '0.1.0',
    description: 'Reads the pages of a web site that its sitemap lists.',
    settings: SCHEMA,
    hosts: ['{sitemap}'],
    credentials: { site: 'To read a site that is not public.' },
    incremental: true,
  },

  datasource(said) {
    const { host } = readSettings(said).sitemap;
    return {
      displayName: host,
      datasourceCategory: CATEGORY,
      urlRegex: `https?://${host.replace(/[.[\]]/g, '\\$&')}/.*`,
      objectDefinitions: [{ name: OBJECT_TYPE, docCategory: CATEGORY }],
    };
  },

  async check(said) {
    const site = new Site(said);
    const { isIndex, entries } = await site.sitemap(site.home.href);
    return `${site.home} lists ${isIndex ? 'sitemaps' : 'pages'}: ${entries.length}.`;
  },

  async scopes(said) {
    const site = new Site(said);
    const { isIndex, entries } = await site.sitemap(site.home.href);
    if (isIndex) return entries.map(({ url }) => ({ id: url, title: new URL(url).pathname }));
    const pages = select(entries, site.settings);
    return [{ id: site.home.href, title: site.home.pathname, documents: pages.length }];
  },

  async open(said, { bookmark, scope, resume }) {
    const before = bookmark === undefined ? undefined : remembered(bookmark);
    const checkpoint = resume && remembered(resume);

    const site = new Site(said);
    const { isIndex, entries } = await site.sitemap(scope);
    if (isIndex) throw Fault.fixSettings(`${scope} is an index within an index.`);

    const pages = select(entries, site.settings, {
      after: checkpoint?.after,
      since: before && before.newest - DAY,
    });
    log.info('reading pages', { sitemap: scope, pages: pages.length });
    // What changes while a crawl is under way is for the next one: the first look at the list counts.
    const newest = checkpoint?.newest ?? newestOf(entries, before?.newest ?? 0);
    return new Cursor(site, pages, newest);
  },
};

// When the newest page changed. A date that is still to come must not hide what changes before it.
function newestOf(entries, before) {
  const now = Math.floor(Date.now() / 1000);
  return entries.reduce(
    (newest, { modified = 0 }) => Math.max(newest, Math.min(modified, now)),
    before,
  );
}

// A bookmark or checkpoint.
function remembered(text) {
  try {
    const found = JSON.parse(text);
    if (Number.isInteger(found.newest)) return found;
  } catch {
    // It is none of ours.
  }
  throw Fault.startOver(`'${text}' is no checkpoint or bookmark of this connector.`);
}
