// The same by Node's own means, for tests without a host. Nothing limits where it goes.

import { readFileSync, readdirSync, statSync } from 'node:fs';

const CODES = { ENOENT: 'no-entry', EACCES: 'access', EISDIR: 'is-directory', ENOTDIR: 'not-directory' };

function coded(call) {
  try {
    return call();
  } catch (error) {
    throw { code: CODES[error.code] ?? error.code };
  }
}

export const read = (path) => coded(() => new Uint8Array(readFileSync(path)));

export const list = (path) =>
  coded(() =>
    readdirSync(path, { withFileTypes: true }).map((entry) => ({
      name: entry.name,
      isFolder: entry.isDirectory(),
    })),
  );

export const about = (path) =>
  coded(() => {
    const found = statSync(path);
    const updatedAt = Math.floor(found.mtimeMs / 1000);
    return { size: found.size, updatedAt, isFolder: found.isDirectory() };
  });
