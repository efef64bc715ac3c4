// The source: notes in pages of JSON, on the web or in a folder. Replace it by yours.

import { Fault } from 'sheaf-sdk';
import { readText } from 'sheaf-sdk/folders';
import { get } from 'sheaf-sdk/http';

export const FIRST_PAGE = 'notes-1.json';

// The folder that sheaf.toml grants, as the connector sees it.
const SAMPLE = '/sample';

/**
 * `updated` is in seconds since 1970.
 * @typedef {{ id: string, updated: number, title?: string, text?: string, url?: string, author?: string,
 *   deleted?: boolean }} Note
 */

export class Source {
  /**
   * @param {string} [url]
   * @param {string} [folder]
   */
  constructor(url, folder = SAMPLE) {
    this.url = url?.replace(/\/+$/, '');
    this.folder = folder;
  }

  /**
   * The notes of a page, and the name of the next one. The last one has none.
   * @param {string} name
   * @returns {Promise<{ notes: Note[], next: string | null }>}
   */
  async page(name) {
    const page = await this.read(name);
    if (!Array.isArray(page?.notes)) throw Fault.retry(`${name} is not as expected.`);
    return page;
  }

  /** @param {string} name */
  async read(name) {
    if (!this.url) return JSON.parse(readText(`${this.folder}/${name}`));
    // What goes wrong says what to do: 401 asks for another credential, and 429 or 503 is tried again, after what
    // `Retry-After` says.
    return (await get(`${this.url}/${name}`)).json();
  }
}
