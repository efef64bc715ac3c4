// What becomes of sitemaps and pages: `node --test`, in this folder.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decode, documentId, parse, select, timestamp, titleOf } from './sitemap.js';

const BASE = 'https://www.example.com/sitemap.xml';

function urls(xml) {
  return parse(xml, BASE).entries.map(({ url }) => url);
}

test('a sitemap lists pages, and when they changed', () => {
  const found = parse(
    `<?xml version="1.0" encoding="UTF-8"?>
     <!-- made by hand: <urlset> -->
     <urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="urn:image">
       <url>
         <image:image><image:loc>https://cdn.example.com/a.png</image:loc></image:image>
         <loc> https://www.example.com/a?x=1&amp;y=2#top </loc>
         <lastmod>2026-01-01</lastmod>
       </url>
       <url><loc><![CDATA[https://www.example.com/b]]></loc><lastmod>soon</lastmod></url>
       <url><loc>https://www.example.com/b</loc></url>
       <url><loc>mailto:ann@example.com</loc></url>
       <url></url>
     </urlset>`,
    BASE,
  );
  assert.deepEqual(found, {
    isIndex: false,
    entries: [
      { url: 'https://www.example.com/a?x=1&y=2', modified: 1767225600 },
      { url: 'https://www.example.com/b', modified: undefined },
    ],
  });
});

test('an index lists sitemaps', () => {
  const { isIndex, entries } = parse(
    '<sitemapindex><sitemap><loc>/posts.xml</loc></sitemap></sitemapindex>',
    BASE,
  );
  assert.ok(isIndex);
  assert.equal(entries[0].url, 'https://www.example.com/posts.xml');
});

test('prefixes and empty sitemaps are read', () => {
  assert.deepEqual(urls('<s:urlset xmlns:s="x"><s:url><s:loc>/a</s:loc></s:url></s:urlset >'), [
    'https://www.example.com/a',
  ]);
  assert.deepEqual(urls('<urlset/>'), []);
  assert.deepEqual(urls('<urlset></urlset>'), []);
});

test('what is no whole sitemap is an error', () => {
  for (const [xml, reason] of [
    ['', /neither/],
    ['<!DOCTYPE html><html><urlset></urlset></html>', /neither/],
    ['<urlset><url><loc>/a</loc></url>', /ends before its <\/urlset>/],
    ['<sitemapindex><sitemap><loc>/a', /ends before its <\/sitemapindex>/],
  ]) {
    assert.throws(() => parse(xml, BASE), reason, xml);
  }
});

test('pages are selected by how their URLs begin, by date and by place, in order', () => {
  const entries = [{ url: 'c', modified: 3 }, { url: 'b' }, { url: 'a', modified: 1 }];
  const selected = (...args) => select(entries, ...args).map(({ url }) => url);
  assert.deepEqual(selected({}), ['a', 'b', 'c']);
  assert.deepEqual(selected({ include: ['a', 'b'], exclude: ['b'] }), ['a']);
  assert.deepEqual(selected({}, { since: 3 }), ['b', 'c']);
  assert.deepEqual(selected({}, { after: 'b' }), ['c']);
});

test('a title is text', () => {
  const html =
    '<html><head><title data-x>\n Nuts &amp; bolts &#8211;\n a&nbsp;&#x62;&odd; </title>';
  assert.equal(titleOf(html), 'Nuts & bolts – a b&odd;');
  assert.equal(titleOf('<title></title>'), undefined);
  assert.equal(titleOf('<p>none</p>'), undefined);
});

test('a page is decoded by what its header says, or else the page', () => {
  const latin = new Uint8Array([0x3c, 0x70, 0x3e, 0xfc]);
  assert.equal(decode(latin, 'text/html; charset="ISO-8859-1"'), '<p>ü');
  const meta = new TextEncoder().encode('<meta charset=windows-1251>?');
  meta[meta.length - 1] = 0xcc;
  assert.equal(decode(meta, 'text/html').at(-1), 'М');
  assert.equal(decode(new TextEncoder().encode('ü'), 'text/html; charset=klingon'), 'ü');
});

test('an id is the URL, or its hash where case or length would matter', async () => {
  assert.equal(await documentId('https://www.example.com/a'), 'https://www.example.com/a');
  for (const path of ['A', 'a'.repeat(200)]) {
    assert.match(await documentId(`https://www.example.com/${path}`), /^[0-9a-f]{64}$/);
  }
});

test('dates are read as precisely as they are given', () => {
  assert.equal(timestamp('2026'), 1767225600);
  assert.equal(timestamp('2026-01-01T01:00+01:00'), 1767225600);
  assert.equal(timestamp('Thu, 01 Jan 2026 00:00:00 GMT'), 1767225600);
  assert.equal(timestamp(undefined), undefined);
});
