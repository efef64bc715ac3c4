/** Seconds since 1970. */
export type Timestamp = number;

/** A person. At least one of `email` and `id` names them. */
export interface UserRef {
  email?: string;
  id?: string;
  name?: string;
}

/** Only these. Empty lists mean nobody. */
export interface Restricted {
  users?: UserRef[];
  /** By their names in the source. */
  groups?: string[];
  /** Each inner list is a set of groups of which the reader must be in all. */
  groupIntersections?: string[][];
}

/**
 * Who may find a document. There is no default: a connector that cannot tell says `unknown`, and the document is
 * indexed for nobody.
 */
export type Access = 'everyone' | 'source-users' | 'unknown' | Restricted;

/** A piece of content and what it is, such as `text/html`. Bytes are a file that Glean takes apart itself. */
export interface Content {
  mimeType: string;
  data: string | Uint8Array;
}

export interface Comment {
  id: string;
  content: Content;
  author?: UserRef;
  createdAt?: Timestamp;
  updatedAt?: Timestamp;
}

/** What a document lies in: a space, a folder, a project. */
export interface Container {
  name: string;
  id?: string;
  objectType?: string;
}

/** How much a document is used, as a signal for ranking. */
export interface Interactions {
  views?: number;
  likes?: number;
  comments?: number;
}

/** One thing that can be found. A field that is none of these is an error. */
export interface Document {
  /** Unique in the source without regard to case, at most 200 characters, and the same from crawl to crawl. */
  id: string;
  /** One of those that the datasource registers. No spaces or underscores. */
  objectType: string;
  /** Where a reader opens it. It matches the datasource's `urlRegex`. */
  viewUrl: string;
  access: Access;
  title?: string;
  filename?: string;
  body?: Content;
  summary?: Content;
  container?: Container;
  author?: UserRef;
  owner?: UserRef;
  createdAt?: Timestamp;
  updatedAt?: Timestamp;
  updatedBy?: UserRef;
  tags?: string[];
  status?: string;
  comments?: Comment[];
  interactions?: Interactions;
  additionalUrls?: string[];
  nativeAppUrl?: string;
  /** By the names that the datasource registers. */
  properties?: Record<string, string | number | string[]>;
}

export interface DocumentRef {
  id: string;
  objectType: string;
}

/** A document that was met and cannot be delivered. It is quarantined, and not deleted. */
export interface Unreadable {
  id?: string;
  viewUrl?: string;
  reason: string;
}

/** How a crawl stands after a page. Only this says whether it has ended; an empty page does not. */
export type Progress =
  | { more: string }
  | { complete: string | undefined }
  | { partial: string };

/** Some documents, and how the crawl stands after them. Deletions are said by incremental crawls only. */
export interface Page {
  documents: Document[];
  progress: Progress;
  deleted?: DocumentRef[];
  accessChanges?: { target: DocumentRef; access: Access }[];
  unreadable?: Unreadable[];
}

export function more(documents: Document[], checkpoint: string): Page;
export function complete(documents: Document[], bookmark?: string): Page;
export function partial(documents: Document[], reason: string): Page;
export function only(users?: string[], groups?: string[]): Restricted;

export type Remedy = 'fix-settings' | 'reauthenticate' | 'retry' | 'start-over' | 'give-up';

/** What went wrong, in one sentence for the operator, and what the host shall do about it. */
export class Fault extends Error {
  constructor(remedy: Remedy, message: string, retryAfter?: number);
  remedy: Remedy;
  /** How many seconds the source asked to be left alone. */
  retryAfter?: number;
  static fixSettings(message: string): Fault;
  static reauthenticate(message: string): Fault;
  static retry(message: string, retryAfter?: number): Fault;
  static startOver(message: string): Fault;
  static giveUp(message: string): Fault;
}

/** What a connector says of itself, and what it asks for. What it gets of that is the operator's to say. */
export interface Manifest {
  /** Lower-case words joined by hyphens. */
  name: string;
  version: string;
  /** One sentence for the operator: what it reads. */
  description: string;
  /** JSON Schema (2020-12) of the settings. Nothing said means that there are none. */
  settings?: object;
  /** Hosts to reach; `{setting}` stands for the host of the URL in that setting. */
  hosts?: string[];
  /** Credentials by the names that they are granted under, and what they are used for. */
  credentials?: Record<string, string>;
  /** Whether it can crawl from a bookmark. */
  incremental?: boolean;
  /** What it looks for in folders, where it wants to read some. */
  folders?: string;
}

/** Glean's `CustomDatasourceConfig`, without its name, which is the operator's to give. */
export interface Datasource {
  displayName: string;
  datasourceCategory: string;
  /** Documents whose `viewUrl` does not match are quarantined. */
  urlRegex: string;
  objectDefinitions: { name: string; docCategory: string; propertyDefinitions?: object[] }[];
  [field: string]: unknown;
}

export interface Scope {
  /** The same from crawl to crawl. */
  id: string;
  title: string;
  /** About how many documents it has, for the display of progress only. */
  documents?: number;
}

export interface Crawl {
  /** One of the scopes, by its id; `all` where there are none. */
  scope: string;
  /** What an incremental crawl begins from; nothing for a full one. */
  bookmark?: string;
  /** The checkpoint of the last page that is safe in Glean; nothing at the beginning. */
  resume?: string;
}

export interface Limits {
  documents: number;
  bytes: number;
}

/** A crawl under way. After an error it is not asked again: another one is opened. */
export interface Cursor {
  next(limits: Limits): Page | Promise<Page>;
}

export interface User {
  /** Glean knows people by their e-mail address in the company. */
  email: string;
  id?: string;
  name?: string;
  /** Whether the account can be used; it can unless this is said. */
  active?: boolean;
}

export interface Group {
  name: string;
  members: ({ email: string } | { id: string } | { group: string })[];
  /** Whether more of its members follow: then the next group is this one. */
  continues?: boolean;
}

export interface People {
  users: User[];
  groups: Group[];
  unreadable?: { name: string; reason: string }[];
  progress: { more: string } | { complete: true } | { partial: string };
}

export interface Reading {
  next(limit: number): People | Promise<People>;
}

type MaybePromise<T> = T | Promise<T>;

/** A connector: one kind of source. `src/connector.js` has one as its default export. */
export interface Connector<Settings = any> {
  manifest: Manifest;
  datasource(settings: Settings): MaybePromise<Datasource>;
  /** Whether the source answers, in one sentence for the operator. Cheap, and changes nothing. */
  check?(settings: Settings): MaybePromise<string>;
  /** The parts that are crawled on their own. One that cannot be listed is an error, and never a shorter list. */
  scopes?(settings: Settings): MaybePromise<Scope[]>;
  /** Begins a crawl, or resumes one. A checkpoint that cannot be used any more is `Fault.startOver`. */
  open(settings: Settings, crawl: Crawl): MaybePromise<Cursor>;
  /** Who is who. It needs `"identities": true` under `"sheaf"` in `package.json`. */
  openIdentities?(settings: Settings, resume?: string): MaybePromise<Reading | undefined>;
}

/** A stand-in for a granted credential: it goes where a header's value goes. The connector never holds the real one. */
export function credential(name: string): string;

/** Writes to the worker's log. */
export const log: Record<
  'debug' | 'info' | 'warn' | 'error',
  (message: string, fields?: Record<string, unknown>) => void
>;
