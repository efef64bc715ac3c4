// What sitemaps and web pages say. Knows nothing of the host, so tests need none.

import { resolve } from 'sheaf-sdk/http';

// What a sitemap lists, pages or other sitemaps. What is no sitemap is an error that says why.
export function parse(xml, base) {
  const text = xml.replace(/<!--[^]*?-->|<\?[^]*?\?>/g, '').trim();
  const root = text.match(/^<((?:[\w.-]+:)?)(urlset|sitemapindex)(?:\s[^>]*)?\/?>/);
  if (!root) throw new Error('it begins with neither <urlset> nor <sitemapindex>');
  const [start, prefix, kind] = root;
  // One that broke off must not pass for a shorter one: what it lacks would be deleted.
  if (!start.endsWith('/>') && !new RegExp(`</${prefix}${kind}\\s*>$`).test(text)) {
    throw new Error(`it ends before its </${prefix}${kind}>`);
  }

  const isIndex = kind === 'sitemapindex';
  const entries = new Map();
  for (const item of elements(text, prefix + (isIndex ? 'sitemap' : 'url'))) {
    const [location] = elements(item, `${prefix}loc`);
    const [modified] = elements(item, `${prefix}lastmod`);
    const url = resolve(plain(location), base)?.href.split('#')[0];
    if (url) entries.set(url, { url, modified: timestamp(plain(modified)) });
  }
  return { isIndex, entries: [...entries.values()] };
}

export function titleOf(html) {
  const [title] = elements(html, 'title');
  return plain(title);
}

// What stands inside each element of a name. <image:loc> is not <loc>.
function elements(markup, name) {
  const element = new RegExp(`<${name}(?:\\s[^>]*)?>([^]*?)</${name}\\s*>`, 'gi');
  return Array.from(markup.matchAll(element), ([, inside]) => inside);
}

const CHARACTERS = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  ndash: '–',
  mdash: '—',
  hellip: '…',
  laquo: '«',
  raquo: '»',
  middot: '·',
  copy: '©',
};

// Text without markup's escapes and line breaks, or nothing if it is empty.
function plain(text = '') {
  const unescaped = text
    .replace(/<!\[CDATA\[([^]*?)\]\]>/g, '$1')
    .replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));/gi, (whole, hex, decimal, name) => {
      if (name) return CHARACTERS[name] ?? whole;
      const code = hex ? parseInt(hex, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    });
  return unescaped.replace(/\s+/g, ' ').trim() || undefined;
}

// Seconds since 1970, or nothing if it is no date.
export function timestamp(text) {
  const milliseconds = Date.parse(text ?? '');
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

// A page as text: its encoding is named by the header, or by itself.
export function decode(bytes, contentType) {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 1024));
  const [, charset = 'utf-8'] =
    /charset\s*=\s*["']?([\w-]+)/i.exec(contentType) ??
    /<meta\s[^>]*charset\s*=\s*["']?([\w-]+)/i.exec(head) ??
    [];
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}

// The entries that are read, in the order of their URLs: a checkpoint is a place in it. Without a
// date, an entry may have changed at any time.
export function select(
  entries,
  { include = [], exclude = [] },
  { after = '', since = -Infinity } = {},
) {
  const startsWith = (url, starts) => starts.some((start) => url.startsWith(start));
  return entries
    .filter(({ url, modified = Infinity }) => url > after && modified >= since)
    .filter(({ url }) => include.length === 0 || startsWith(url, include))
    .filter(({ url }) => !startsWith(url, exclude))
    .sort((one, other) => (one.url < other.url ? -1 : 1));
}

// Ids are compared without case and have at most 200 characters: other URLs are hashed.
export async function documentId(url) {
  if (url.length <= 200 && url === url.toLowerCase()) return url;
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
