// HTTP for a connector: `get`, over `fetch`, and the contract's faults for what goes wrong.
//
// The host sends what the connection's grants allow and gives up on what takes too long. It follows
// no redirect, and puts a credential in the place of its stand-in on the way out.

const MAX_REDIRECTS = 5;
const MAX_U32 = 2 ** 32 - 1;
const MIB = 1 << 20;

// Fetches a URL: its headers and its body. Where only this URL is wrong, the fault is `fix-settings`.
export async function get(url, { maxBytes, authorization }) {
  let at = new URL(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await send(at, authorization, url);
    const { status, headers } = response;
    if (status === 200) return { headers, body: await bytes(response, at, maxBytes) };
    await drain(response.body.getReader());

    const target =
      [301, 302, 303, 307, 308].includes(status) && resolve(headers.get('location'), at);
    if (!target) throw refused(at, response);
    // A host can send us anywhere, but the credential is for itself.
    if (target.origin !== at.origin) authorization = undefined;
    at = target;
  }
  throw fault('fix-settings', `${url} redirects more than ${MAX_REDIRECTS} times.`);
}

async function send(at, authorization, asked) {
  const headers = { 'user-agent': 'sheaf-sitemap/0.1.0' };
  if (authorization) headers.authorization = authorization;
  try {
    return await fetch(at, { headers, redirect: 'manual' });
  } catch (error) {
    // `fetch` does not tell a host that is not granted from one that is down.
    if (at.host !== new URL(asked).host) {
      throw fault('fix-settings', `${asked} redirects to ${at.host}, which cannot be reached.`);
    }
    throw fault('retry', `${at} cannot be reached: ${error.message}. Is ${at.host} granted?`);
  }
}

async function bytes(response, at, maxBytes) {
  const reader = response.body.getReader();
  let body;
  try {
    body = await collect(reader, maxBytes);
  } catch (error) {
    throw fault('retry', `${at} broke off: ${error.message}.`);
  }
  if (body) return body;
  await drain(reader);
  throw fault('fix-settings', `${at} is larger than ${maxBytes / MIB} MiB.`);
}

// Reads what nobody wants. A connection has a few requests at a time, and one that is not read to its
// end stays one of them: here neither `cancel` nor `abort` lets go of it.
async function drain(reader) {
  try {
    while (!(await reader.read()).done);
  } catch {
    // It broke off, or was more than the host lets through. It is over either way.
  }
}

// The bytes of a stream to its end, or nothing if there are more than that.
export async function collect(reader, maxBytes) {
  const chunks = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return join(chunks, size);
    chunks.push(value);
    size += value.length;
    if (size > maxBytes) return undefined;
  }
}

function join(chunks, size) {
  const whole = new Uint8Array(size);
  let end = 0;
  for (const chunk of chunks) {
    whole.set(chunk, end);
    end += chunk.length;
  }
  return whole;
}

// The fault that an answer means.
function refused(at, { status, headers }) {
  const said = `${at} answered with status ${status}`;
  if (status === 401 || status === 403) {
    return fault('reauthenticate', `${said}: grant a credential that it accepts.`);
  }
  if (status === 404 || status === 410) {
    return fault('fix-settings', `${said}: nothing is there.`);
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return fault('retry', `${said}.`, seconds(headers.get('retry-after') ?? ''));
  }
  return fault('fix-settings', `${said}, which this connector cannot use.`);
}

// Retry-After is a number of seconds, or a date.
function seconds(retryAfter) {
  const pause = /^\d+$/.test(retryAfter)
    ? Number(retryAfter)
    : Math.ceil((Date.parse(retryAfter) - Date.now()) / 1000);
  return Number.isNaN(pause) ? undefined : Math.min(Math.max(pause, 0), MAX_U32);
}

export function fault(remedy, message, retryAfter) {
  return { remedy, message, retryAfter };
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
