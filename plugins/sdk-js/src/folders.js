// Granted folders, by their paths as the connector sees them: `/content/a.txt`.

import * as files from '#files';

import { Fault } from './fault.js';

const MAX_BYTES = 32 << 20;

// The bytes of a file.
export function readBytes(path, maxBytes = MAX_BYTES) {
  const bytes = said(path, () => files.read(path, maxBytes));
  if (bytes.length <= maxBytes) return bytes;
  throw new FolderError(`${path} has more than ${maxBytes} bytes`, 'file-too-large');
}

// A file as UTF-8; bytes that are not are replaced.
export const readText = (path, maxBytes) => new TextDecoder().decode(readBytes(path, maxBytes));

// What is in a folder, in the order of the names: `{ name, isFolder }`.
export const list = (path) =>
  said(path, () => files.list(path)).sort((one, other) => (one.name < other.name ? -1 : 1));

// What is known of a file or a folder: `{ size, updatedAt, isFolder }`.
export const about = (path) => said(path, () => files.about(path));

// What a folder did not give. Its code is one of wasi:filesystem's, such as `no-entry`.
export class FolderError extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

function said(path, call) {
  try {
    return call();
  } catch ({ code = 'io' }) {
    if (code === 'not-granted') {
      throw Fault.fixSettings(`${path} is in no folder that the connection grants.`);
    }
    throw new FolderError(`${path} cannot be read: ${`${code}`.replaceAll('-', ' ')}`, code);
  }
}
