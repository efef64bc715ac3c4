// HTTP requests, to the hosts that the operator granted: what goes wrong is a Fault with the remedy it calls for.
//
// 401 and 403 ask for another credential, 404 and 410 for other settings; 408, 425, 429 and 5xx are tried again, after
// what `Retry-After` says. The host keeps pace, follows no redirect, and puts a credential in the place of its stand-in.

import { send } from '#send';

import { Fault } from './fault.js';

export { collect } from './bytes.js';

const MAX_BYTES = 32 << 20;
const MAX_REDIRECTS = 5;
const MAX_U32 = 2 ** 32 - 1;

// Fetches a URL. Up to five redirects are followed; the authorization goes to its own scheme, host and port only.
export async function get(url, { headers = {}, authorization, maxBytes = MAX_BYTES } = {}) {
  let at = resolve(url);
  if (!at) throw Fault.fixSettings(`'${url}' is no address on the web.`);
  const conditional = Object.keys(headers).some((name) => /^if-/i.test(name));
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await answer('GET', at, withSecret(headers, authorization), undefined, maxBytes);
    // A 304 that nobody asked for would pass for a source without documents.
    if (response.status === 304 && conditional) return response;
    const leads = [301, 302, 303, 307, 308].includes(response.status);
    const target = leads && resolve(response.headers.get('location'), at);
    if (!target) return success(response);
    // A host can send us anywhere, but the credential is for itself.
    if (target.origin !== at.origin) authorization = undefined;
    at = target;
  }
  throw Fault.fixSettings(`${url} redirects more than ${MAX_REDIRECTS} times.`);
}

// Sends something, such as a search: text or bytes. Redirects are not followed.
export async function post(
  url,
  contentType,
  body,
  { headers = {}, authorization, maxBytes = MAX_BYTES } = {},
) {
  const at = resolve(url);
  if (!at) throw Fault.fixSettings(`'${url}' is no address on the web.`);
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  const sent = withSecret({ ...headers, 'content-type': contentType }, authorization);
  return success(await answer('POST', at, sent, bytes, maxBytes));
}

// A list in pages, each of which names the next in a `Link` header. A crawl that is to be resumed takes `get` and
// `nextPage`, and keeps that URL as its checkpoint. A page on another host gets no authorization.
export async function* pages(url, options = {}) {
  const { origin } = new URL(url);
  for (let at = url; at; ) {
    const { authorization } = new URL(at).origin === origin ? options : {};
    const response = await get(at, { ...options, authorization });
    yield response;
    at = response.nextPage;
  }
}

const withSecret = (headers, authorization) =>
  authorization ? { ...headers, authorization } : headers;

class Response {
  constructor(url, { status, headers, body }) {
    this.url = url.href;
    this.status = status;
    // By name in lower case.
    this.headers = headers;
    this.body = body ?? new Uint8Array();
  }

  text() {
    return new TextDecoder().decode(this.body);
  }

  // What is no JSON is tried again: a source that is overloaded may answer with a page for people.
  json() {
    try {
      return JSON.parse(this.text());
    } catch (error) {
      throw Fault.retry(`the answer of ${this.url} is not JSON: ${error.message}`);
    }
  }

  // The URL of the next page, where the source names one in a `Link` header.
  get nextPage() {
    return resolve(nextLink(this.headers.get('link') ?? ''), this.url)?.href;
  }
}

async function answer(method, at, headers, body, maxBytes) {
  let found;
  try {
    found = await send(method, at, headers, body, maxBytes);
  } catch (error) {
    if (error.code === undefined) throw error;
    throw unreachable(at, error);
  }
  if (found.tooLarge) throw Fault.fixSettings(`${at} is larger than ${shown(maxBytes)}.`);
  return new Response(at, found);
}

const shown = (bytes) => (bytes >= 1 << 20 ? `${bytes / (1 << 20)} MiB` : `${bytes} bytes`);

// The fault for a request without an answer.
function unreachable(at, { code, detail }) {
  if (code === 'HTTP-request-denied' || code === 'destination-IP-prohibited') {
    return Fault.fixSettings(
      `It may not reach ${at.host}: grant it that host, or correct what leads there.`,
    );
  }
  const reason = code === 'internal-error' && detail ? detail : code.replaceAll('-', ' ');
  return Fault.retry(`${at} could not be read: ${reason}.`);
}

// The answer, or the fault that it means.
function success(response) {
  const { url, status, headers } = response;
  if (status >= 200 && status < 300) return response;
  const said = `${url} answered with status ${status}`;
  if (status === 401 || status === 403) {
    throw Fault.reauthenticate(`${said}: grant a credential that it accepts.`);
  }
  if (status === 404 || status === 410) {
    throw Fault.fixSettings(`${said}: nothing is there.`);
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    throw Fault.retry(`${said}.`, seconds(headers.get('retry-after') ?? ''));
  }
  throw Fault.fixSettings(`${said}, which this connector cannot use.`);
}

// Retry-After is a number of seconds, or a date.
function seconds(retryAfter) {
  const pause = /^\d+$/.test(retryAfter)
    ? Number(retryAfter)
    : Math.ceil((Date.parse(retryAfter) - Date.now()) / 1000);
  return Number.isNaN(pause) ? undefined : Math.min(Math.max(pause, 0), MAX_U32);
}

// A link as a URL on the web, or nothing if it is none.
export function resolve(link, base) {
  if (!link) return undefined;
  try {
    const url = new URL(link, base);
    return /^https?:$/.test(url.protocol) ? url : undefined;
  } catch {
    return undefined;
  }
}

// The URL of rel="next" in a `Link` header. A URL may have commas: it ends at its `>`.
export function nextLink(header) {
  for (const [, url, parameters] of header.matchAll(/<([^>]*)>([^<]*)/g)) {
    for (const [, rel] of parameters.matchAll(/\brel\s*=\s*"?([^";,]*)/gi)) {
      if (rel.toLowerCase().split(/\s+/).includes('next')) return url;
    }
  }
  return undefined;
}
