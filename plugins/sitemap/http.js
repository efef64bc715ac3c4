// Requests over wasi:http, whose handles are given back as soon as they are done with.
//
// `fetch` would be shorter, but its engine keeps seven handles of each request for as long as the guest
// lives: after some 150 requests a guest has all that its connection allows.

import { handle } from 'wasi:http/outgoing-handler@0.2.12';
import { Fields, OutgoingRequest, httpErrorCode } from 'wasi:http/types@0.2.12';
import { poll } from 'wasi:io/poll@0.2.12';

import { collect } from './bytes.js';

// The bindings note each handle in a FinalizationRegistry, and this engine keeps some 400 bytes of each note
// for good. Nothing is left to it here, so it notes nothing. The bindings have globals of their own.
const registry = Fields.constructor('return FinalizationRegistry')().prototype;
registry.register = registry.unregister = () => {};

const CHUNK = 64n << 10n;
const DISPOSE = Symbol.dispose ?? Symbol.for('dispose');

// Sends a GET, and reads the body of a success: `{ status, headers, body }`. Names of headers are in lower
// case. A body of more than `maxBytes` is undefined, and is not read further. Where there is no answer, it
// throws `{ code, detail }`, of wasi:http's error codes.
export async function send(url, headers, maxBytes) {
  const response = await answer(url, headers);
  try {
    const status = response.status();
    const found = headersOf(response);
    const body = status === 200 ? await bodyOf(response, maxBytes) : undefined;
    return { status, headers: found, body };
  } finally {
    response[DISPOSE]();
  }
}

async function answer({ protocol, host, pathname, search }, headers) {
  const encoder = new TextEncoder();
  const fields = Object.entries(headers).map(([name, value]) => [name, encoder.encode(value)]);
  const request = new OutgoingRequest(Fields.fromList(fields));
  request.setScheme({ tag: protocol === 'http:' ? 'HTTP' : 'HTTPS' });
  request.setAuthority(host);
  request.setPathWithQuery(pathname + search);

  const future = orThrow(() => handle(request, undefined));
  try {
    await ready(future);
    const { tag, val } = future.get().val;
    if (tag === 'err') throw noAnswer(val);
    return val;
  } finally {
    future[DISPOSE]();
  }
}

function headersOf(response) {
  const decoder = new TextDecoder('latin1');
  const fields = response.headers();
  try {
    const read = ([name, value]) => [name.toLowerCase(), decoder.decode(value)];
    return new Map(fields.entries().map(read));
  } finally {
    fields[DISPOSE]();
  }
}

// A stream ends before its body does, and that before its response.
async function bodyOf(response, maxBytes) {
  const body = response.consume();
  try {
    const stream = body.stream();
    try {
      return await collect(() => piece(stream), maxBytes);
    } finally {
      stream[DISPOSE]();
    }
  } finally {
    body[DISPOSE]();
  }
}

// The next piece of a stream, or nothing at its end.
async function piece(stream) {
  await ready(stream);
  try {
    return stream.read(CHUNK);
  } catch ({ payload }) {
    if (payload?.tag !== 'last-operation-failed') return undefined;
    const code = httpErrorCode(payload.val);
    payload.val[DISPOSE]();
    throw noAnswer(code);
  }
}

function orThrow(call) {
  try {
    return call();
  } catch (error) {
    throw 'payload' in error ? noAnswer(error.payload) : error;
  }
}

// Some codes say more, such as which name could not be resolved.
function noAnswer(code) {
  const detail = typeof code?.val === 'string' ? code.val : code?.val?.rcode;
  return { code: code?.tag ?? 'connection-terminated', detail };
}

// What is waited for, and who waits. All of it is waited for together, so that requests run side by side.
const waiting = [];

// Resolves when a future or a stream has something.
function ready(resource) {
  const pollable = resource.subscribe();
  return new Promise((resolve) => {
    // The timer comes when nothing else is left to do than to wait.
    if (waiting.push({ pollable, resolve }) === 1) setTimeout(wait, 0);
  });
}

function wait() {
  const found = poll(waiting.map(({ pollable }) => pollable));
  for (const index of Array.from(found).sort((one, other) => other - one)) {
    const [{ pollable, resolve }] = waiting.splice(index, 1);
    pollable[DISPOSE]();
    resolve();
  }
  if (waiting.length > 0) setTimeout(wait, 0);
}
