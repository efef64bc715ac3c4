// Requests over wasi:http, whose handles are given back as soon as they are done with.
//
// `fetch` would be shorter, but its engine keeps seven handles of each request for as long as the guest
// lives: after some 150 requests a guest has all that its connection allows.

import { handle } from 'wasi:http/outgoing-handler@0.2.12';
import { Fields, OutgoingBody, OutgoingRequest, httpErrorCode } from 'wasi:http/types@0.2.12';
import { poll } from 'wasi:io/poll@0.2.12';

import { collect } from '../bytes.js';
import { DISPOSE } from './handles.js';

const CHUNK = 64n << 10n;
// As much as an outgoing stream takes at once.
const PIECE = 4096;

// Sends a request, and reads the body of a success: `{ status, headers, body }`. Names of headers are in lower
// case. A body of more than `maxBytes` is not read further, and makes it `tooLarge`. Where there is no answer, it
// throws `{ code, detail }`, of wasi:http's error codes.
export async function send(method, url, headers, sent, maxBytes) {
  const response = await answer(method, url, headers, sent);
  try {
    const status = response.status();
    const found = headersOf(response);
    const isSuccess = status >= 200 && status < 300;
    const body = isSuccess ? await bodyOf(response, maxBytes) : undefined;
    return { status, headers: found, body, tooLarge: isSuccess && !body };
  } finally {
    response[DISPOSE]();
  }
}

async function answer(method, { protocol, host, pathname, search }, headers, sent) {
  const encoder = new TextEncoder();
  const fields = Object.entries(headers).map(([name, value]) => [name, encoder.encode(value)]);
  if (sent) fields.push(['content-length', encoder.encode(`${sent.length}`)]);
  const request = new OutgoingRequest(Fields.fromList(fields));
  request.setMethod({ tag: method.toLowerCase() });
  request.setScheme({ tag: protocol === 'http:' ? 'HTTP' : 'HTTPS' });
  request.setAuthority(host);
  request.setPathWithQuery(pathname + search);

  const outgoing = sent && request.body();
  const future = orThrow(() => handle(request, undefined));
  try {
    if (outgoing) orThrow(() => write(outgoing, sent));
    await ready(future);
    const { tag, val } = future.get().val;
    if (tag === 'err') throw noAnswer(val);
    return val;
  } finally {
    future[DISPOSE]();
  }
}

function write(outgoing, sent) {
  const stream = outgoing.write();
  try {
    for (let start = 0; start < sent.length; start += PIECE) {
      stream.blockingWriteAndFlush(sent.subarray(start, start + PIECE));
    }
  } finally {
    stream[DISPOSE]();
  }
  OutgoingBody.finish(outgoing, undefined);
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
