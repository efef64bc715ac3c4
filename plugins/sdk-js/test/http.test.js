// How answers become bodies and faults, with a server on this machine: `node --test`.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { get, nextLink, pages, post } from 'sheaf-sdk/http';

const server = createServer((request, response) => {
  const [what, more = ''] = request.url.slice(1).split('/').map(decodeURIComponent);
  switch (what) {
    case 'ok':
      return response.end('hello');
    case 'authorization':
      return response.end(request.headers.authorization ?? 'none');
    case 'page': {
      const link = more < 3 ? `</page/${+more + 1}>; rel="next"` : '</>; rel=prev';
      return response.setHeader('link', link).end(more);
    }
    case 'search':
      response.write(request.headers['content-type'] + ' ');
      return request.pipe(response);
    case 'to':
      return response.writeHead(302, { location: more }).end();
    case 'cut':
      response.writeHead(200, { 'content-length': 10 }).write('hel');
      return setTimeout(() => response.destroy(), 10);
    default:
      return response.writeHead(Number(what), { 'retry-after': more }).end();
  }
});
let home;

before(async () => {
  await new Promise((ready) => server.listen(0, ready));
  home = `http://localhost:${server.address().port}`;
});
after(() => server.close());

async function text(path, options) {
  const { body } = await get(home + path, { maxBytes: 100, ...options });
  return new TextDecoder().decode(body);
}

// A path that redirects to a URL.
function to(url) {
  return `/to/${encodeURIComponent(url)}`;
}

test('a page is fetched, and redirects are followed', async () => {
  assert.equal(await text('/ok'), 'hello');
  assert.equal(await text(to('/ok')), 'hello');
  assert.equal(await text(to(to(`${home}/ok`))), 'hello');
});

test('the credential is sent, but not where a redirect leads away', async () => {
  const authorization = 'stand-in';
  const elsewhere = home.replace('localhost', '127.0.0.1');
  assert.equal(await text('/authorization', { authorization }), 'stand-in');
  assert.equal(await text(to('/authorization'), { authorization }), 'stand-in');
  assert.equal(await text(to(`${elsewhere}/authorization`), { authorization }), 'none');
});

test('what goes wrong is a fault with its remedy', async () => {
  for (const [path, remedy, retryAfter] of [
    ['/401', 'reauthenticate'],
    ['/403', 'reauthenticate'],
    ['/404', 'fix-settings'],
    ['/410', 'fix-settings'],
    ['/418', 'fix-settings'],
    ['/429/7', 'retry', 7],
    ['/503/Thu, 01 Jan 2026 00:00:00 GMT', 'retry', 0],
    ['/500', 'retry'],
    ['/cut', 'retry'],
    [to('mailto:ann@example.com'), 'fix-settings'],
    ['/304', 'fix-settings'],
    [to('http://nowhere.invalid/'), 'retry'],
  ]) {
    await assert.rejects(text(path), (fault) => {
      assert.deepEqual([fault.remedy, fault.retryAfter], [remedy, retryAfter], path);
      return true;
    });
  }
  await assert.rejects(get('http://nowhere.invalid/'), { remedy: 'retry' });
  await assert.rejects(get('nowhere'), { remedy: 'fix-settings' });
});

test('nothing new is an answer to who asked for it', async () => {
  const { status } = await get(`${home}/304`, { headers: { 'If-None-Match': 'x' } });
  assert.equal(status, 304);
});

test('pages are followed to their end', async () => {
  const found = [];
  for await (const page of pages(`${home}/page/1`)) found.push(page.text());
  assert.deepEqual(found, ['1', '2', '3']);
});

test('a search is posted', async () => {
  const answer = await post(`${home}/search`, 'application/json', '{}');
  assert.equal(answer.text(), 'application/json {}');
});

test("a link's url may have commas", () => {
  const header =
    '<https://a.example.com/x?f=i,t&page=1>; rel="prev", </x?f=i,t&page=3>; title="a"; rel="next"';
  assert.equal(nextLink(header), '/x?f=i,t&page=3');
  assert.equal(nextLink('<https://a.example.com/1>; rel="prev"'), undefined);
  assert.equal(nextLink(''), undefined);
});

test('more bytes or redirects than allowed are a fault', async () => {
  await assert.rejects(text('/ok', { maxBytes: 4 }), { message: /larger than 4 bytes/ });
  // This leads to itself.
  await assert.rejects(text(to('circle')), { message: /redirects more than 5 times/ });
});
