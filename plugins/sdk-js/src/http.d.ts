export interface Response {
  /** Where it was found: after redirects, not what was asked for. */
  url: string;
  status: number;
  /** By name in lower case. */
  headers: Map<string, string>;
  body: Uint8Array;
  /** The URL of the next page, where the source names one in a `Link` header. */
  readonly nextPage: string | undefined;
  text(): string;
  json(): any;
}

export interface Options {
  headers?: Record<string, string>;
  /** What `credential` gave. It goes to the scheme, host and port of the URL only. */
  authorization?: string;
  /** A longer answer is an error; 32 MiB unless said. */
  maxBytes?: number;
}

/** Fetches a URL. The answer is a success, or 304 if the headers set conditions; all else is a `Fault`. */
export function get(url: string | URL, options?: Options): Promise<Response>;
/** Sends something, such as a search. Redirects are not followed. */
export function post(
  url: string | URL,
  contentType: string,
  body: string | Uint8Array,
  options?: Options,
): Promise<Response>;
/** A list in pages, each of which names the next in a `Link` header. */
export function pages(url: string, options?: Options): AsyncGenerator<Response>;
/** A link as a URL on the web, or nothing if it is none. */
export function resolve(link: string | undefined, base?: string | URL): URL | undefined;
/** The URL of `rel="next"` in a `Link` header. */
export function nextLink(header: string): string | undefined;
/** The pieces that `next` hands out, as one; nothing if they are more than `maxBytes`. */
export function collect(
  next: () => Promise<Uint8Array | undefined>,
  maxBytes: number,
): Promise<Uint8Array | undefined>;
