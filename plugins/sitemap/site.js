// A web site as the settings have it: its sitemaps, and its pages as documents.

import { Fault, credential } from 'sheaf-sdk';
import * as http from 'sheaf-sdk/http';

import { read as readSettings } from './settings.js';
import { decode, documentId, parse, timestamp, titleOf } from './sitemap.js';

export const OBJECT_TYPE = 'Page';

const HEADERS = { 'user-agent': 'sheaf-sitemap/0.1.0' };
const MIB = 1 << 20;
const MAX_SITEMAP_BYTES = 16 * MIB;
const MAX_PAGE_BYTES = 2 * MIB;

export class Site {
  constructor(said) {
    this.settings = readSettings(said);
    this.home = this.settings.sitemap;
    this.authorization = said.credential && credential(said.credential);
  }

  // The sitemap at a URL: `{ isIndex, entries }`.
  async sitemap(url) {
    const { body } = await this.get(url, MAX_SITEMAP_BYTES);
    try {
      return parse(new TextDecoder().decode(await unpacked(body)), url);
    } catch (error) {
      throw Fault.fixSettings(`${url} is no sitemap that can be read: ${error.message}.`);
    }
  }

  // The page of a sitemap's entry: `{ document }`, or `{ unreadable }` with what is wrong with it.
  async page({ url, modified }) {
    const id = await documentId(url);
    const unreadable = (reason) => ({ unreadable: { id, viewUrl: url, reason } });

    let answer;
    try {
      answer = await this.get(url, MAX_PAGE_BYTES);
    } catch (fault) {
      // What is wrong with one page must not stop the others.
      if (fault.remedy === 'fix-settings') return unreadable(fault.message);
      throw fault;
    }
    const { headers, body } = answer;
    const type = headers.get('content-type') ?? 'text/html';
    if (!/^(text\/html|application\/xhtml\+xml)\b/i.test(type)) {
      return unreadable(`It is ${type}, and only HTML is read.`);
    }

    const html = decode(body, type);
    return {
      bytes: body.length,
      document: {
        id,
        objectType: OBJECT_TYPE,
        viewUrl: url,
        access: this.settings.access,
        title: titleOf(html),
        body: { mimeType: 'text/html', data: html },
        updatedAt: modified ?? timestamp(headers.get('last-modified')),
      },
    };
  }

  async get(url, maxBytes) {
    const { host, origin } = new URL(url);
    // The manifest asks for the sitemap's host only, so there is no way to any other.
    if (host !== this.home.host) {
      throw Fault.fixSettings(`It may not reach ${host}: ${url} is not on ${this.home.host}.`);
    }
    const trusted = origin === this.home.origin;
    const authorization = trusted ? this.authorization : undefined;
    return http.get(url, { headers: HEADERS, maxBytes, authorization });
  }
}

// Large sitemaps come compressed, as files: the server does not say so in a header.
async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const packed = new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  const reader = packed.pipeThrough(new DecompressionStream('gzip')).getReader();
  const whole = await http.collect(async () => (await reader.read()).value, MAX_SITEMAP_BYTES);
  if (!whole) throw new Error(`unpacked, it is larger than ${MAX_SITEMAP_BYTES / MIB} MiB`);
  return whole;
}
