// The same by Node's own means, for tests without a host. Nothing limits where it goes.

import { collect } from '../bytes.js';

export async function send(method, url, headers, sent, maxBytes) {
  try {
    const response = await fetch(url, { method, headers, body: sent, redirect: 'manual' });
    const isSuccess = response.ok && response.body;
    const reader = isSuccess && response.body.getReader();
    const body = isSuccess
      ? await collect(async () => (await reader.read()).value, maxBytes)
      : undefined;
    if (isSuccess && !body) await reader.cancel();
    const found = new Map(response.headers);
    return { status: response.status, headers: found, body, tooLarge: isSuccess && !body };
  } catch (error) {
    throw { code: 'internal-error', detail: error.cause?.message ?? error.message };
  }
}
