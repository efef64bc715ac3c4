/** The bytes of a file of a granted folder; 32 MiB unless said. */
export function readBytes(path: string, maxBytes?: number): Uint8Array;
/** A file as UTF-8; bytes that are not are replaced. */
export function readText(path: string, maxBytes?: number): string;
/** What is in a folder, in the order of the names. */
export function list(path: string): { name: string; isFolder: boolean }[];
/** What is known of a file or a folder. */
export function about(path: string): { size: number; updatedAt?: number; isFolder: boolean };

/** What a folder did not give. */
export class FolderError extends Error {
  /** One of wasi:filesystem's codes, such as `no-entry`. */
  code: string;
}
