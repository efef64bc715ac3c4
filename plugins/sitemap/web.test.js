// How answers become bodies and faults, with a server on this machine.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { collect } from './bytes.js';
import { client } from './web.js';

const get = client(send);

// What http.js does, by Node's own means. The host lets nothing out to `denied.invalid`.
async function send(url, headers, maxBytes) {
  if (url.host === 'denied.invalid') throw { code: 'HTTP-request-denied' };
  try {
    const response = await fetch(url, { headers, redirect: 'manual' });
    const reader = response.body.getReader();
    const body = await collect(async () => (await reader.read()).value, maxBytes);
    return { status: response.status, headers: response.headers, body };
  } catch (error) {
    throw { code: 'internal-error', detail: error.message };
  }
}

const server = createServer((request, response) => {
  const [what, more = ''] = request.url.slice(1).split('/').map(decodeURIComponent);
  switch (what) {
    case 'ok':
      return response.end('hello');
    case 'authorization':
      return response.end(request.headers.authorization ?? 'none');
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
    [to('http://denied.invalid/'), 'fix-settings'],
    [to('http://nowhere.invalid/'), 'retry'],
  ]) {
    await assert.rejects(text(path), (fault) => {
      assert.deepEqual([fault.remedy, fault.retryAfter], [remedy, retryAfter], path);
      return true;
    });
  }
  await assert.rejects(get('http://nowhere.invalid/', {}), { remedy: 'retry' });
});

test('more bytes or redirects than allowed are a fault', async () => {
  await assert.rejects(text('/ok', { maxBytes: 4 }), { message: /larger/ });
  // This leads to itself.
  await assert.rejects(text(to('circle')), { message: /redirects more than 5 times/ });
});
