// Granted folders over wasi:filesystem, whose handles are given back.

import { getDirectories } from 'wasi:filesystem/preopens@0.2.12';

import { DISPOSE } from './handles.js';

const CHUNK = 1n << 20n;

let granted;

// Calls `work` with what is at a path, below the granted folder that it is in. What fails throws `{ code }`, of
// wasi:filesystem's error codes.
function opened(path, flags, work) {
  granted ??= getDirectories().sort(([, one], [, other]) => other.length - one.length);
  const inside = ([, folder]) => path === folder || path.startsWith(`${folder.replace(/\/$/, '')}/`);
  const [root, folder] = granted.find(inside) ?? [];
  if (!root) throw { code: 'not-granted' };
  return coded(() => {
    const rest = path.slice(folder.length).replace(/^\/+/, '') || '.';
    const descriptor = root.openAt({ symlinkFollow: true }, rest, flags, { read: true });
    try {
      return work(descriptor);
    } finally {
      descriptor[DISPOSE]();
    }
  });
}

function coded(call) {
  try {
    return call();
  } catch (error) {
    throw typeof error.payload === 'string' ? { code: error.payload } : error;
  }
}

// The bytes of a file, at most one more than `maxBytes`.
export function read(path, maxBytes) {
  return opened(path, {}, (file) => {
    const pieces = [];
    let size = 0;
    for (let isAtEnd = false; !isAtEnd && size <= maxBytes; ) {
      const [piece, end] = file.read(CHUNK, BigInt(size));
      pieces.push(piece);
      size += piece.length;
      isAtEnd = end;
    }
    const whole = new Uint8Array(size);
    pieces.reduce((at, piece) => (whole.set(piece, at), at + piece.length), 0);
    return whole;
  });
}

export function list(path) {
  return opened(path, { directory: true }, (folder) => {
    const entries = folder.readDirectory();
    try {
      const found = [];
      for (let entry; (entry = entries.readDirectoryEntry()); ) {
        found.push({ name: entry.name, isFolder: entry.type === 'directory' });
      }
      return found;
    } finally {
      entries[DISPOSE]();
    }
  });
}

export function about(path) {
  return opened(path, {}, (file) => {
    const { size, dataModificationTimestamp, type } = file.stat();
    const updatedAt = dataModificationTimestamp && Number(dataModificationTimestamp.seconds);
    return { size: Number(size), updatedAt, isFolder: type === 'directory' };
  });
}
