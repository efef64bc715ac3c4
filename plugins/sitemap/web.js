// HTTP for a connector: `get`, and the contract's faults for what goes wrong.
//
// The host sends what the connection's grants allow and gives up on what takes too long. It follows
// no redirect, and puts a credential in the place of its stand-in on the way out.

const MAX_REDIRECTS = 5;
const MAX_U32 = 2 ** 32 - 1;
const MIB = 1 << 20;

// Makes `get(url, { maxBytes, authorization })`, which fetches a URL: its headers and its body. Where only
// this URL is wrong, its fault is `fix-settings`. `send` is that of http.js; tests have another.
export function client(send) {
  return async function get(url, { maxBytes, authorization }) {
    let at = new URL(url);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await answer(send, at, { maxBytes, authorization });
      const { status, headers, body } = response;
      if (status === 200 && body) return { headers, body };
      if (status === 200) throw fault('fix-settings', `${at} is larger than ${maxBytes / MIB} MiB.`);

      const target = [301, 302, 303, 307, 308].includes(status) && resolve(headers.get('location'), at);
      if (!target) throw refused(at, response);
      // A host can send us anywhere, but the credential is for itself.
      if (target.origin !== at.origin) authorization = undefined;
      at = target;
    }
    throw fault('fix-settings', `${url} redirects more than ${MAX_REDIRECTS} times.`);
  };
}

async function answer(send, at, { maxBytes, authorization }) {
  const headers = { 'user-agent': 'sheaf-sitemap/0.1.0' };
  if (authorization) headers.authorization = authorization;
  try {
    return await send(at, headers, maxBytes);
  } catch (error) {
    if (error.code === undefined) throw error;
    throw unreachable(at, error);
  }
}

// The fault for a request without an answer.
function unreachable(at, { code, detail }) {
  if (code === 'HTTP-request-denied' || code === 'destination-IP-prohibited') {
    return fault(
      'fix-settings',
      `It may not reach ${at.host}: grant it that host, or correct what leads there.`,
    );
  }
  const reason = code === 'internal-error' && detail ? detail : code.replaceAll('-', ' ');
  return fault('retry', `${at} could not be read: ${reason}.`);
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
