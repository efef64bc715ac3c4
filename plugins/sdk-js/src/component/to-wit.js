// What a connector delivers, in the words of the contract. A list can be empty there, but not left out.

const FIELDS = new Set(
  `id objectType viewUrl access title filename body summary container author owner createdAt updatedAt updatedBy tags
  status comments interactions additionalUrls nativeAppUrl properties`.split(/\s+/),
);

export function manifestOf({
  name,
  version,
  description,
  settings = { type: 'object', additionalProperties: false },
  hosts = [],
  credentials = {},
  incremental = false,
  folders,
}) {
  return {
    name,
    version,
    description,
    settingsSchema: JSON.stringify(settings),
    hosts,
    credentials: Object.entries(credentials).map(([name, purpose]) => ({ name, purpose })),
    incremental,
    folders,
  };
}

export function pageOf({
  documents,
  progress,
  deleted = [],
  accessChanges = [],
  unreadable = [],
}) {
  return {
    documents: documents.map(documentOf),
    deleted,
    accessChanges: accessChanges.map(({ target, access }) => ({ target, access: accessOf(access) })),
    unreadable,
    progress: progressOf(progress),
  };
}

function progressOf(progress) {
  for (const tag of ['more', 'complete', 'partial']) {
    if (tag in progress) return { tag, val: progress[tag] };
  }
  throw new Error('a page must end with `more`, `complete` or `partial`');
}

function documentOf(document) {
  const strange = Object.keys(document).find((field) => !FIELDS.has(field));
  if (strange) throw new Error(`a document has no field \`${strange}\``);
  const { access, body, summary, comments = [], properties = {}, ...rest } = document;
  return {
    tags: [],
    additionalUrls: [],
    ...rest,
    access: accessOf(access),
    body: body && contentOf(body),
    summary: summary && contentOf(summary),
    comments: comments.map((comment) => ({ ...comment, content: contentOf(comment.content) })),
    properties: Object.entries(properties).map(([name, value]) => ({ name, value: valueOf(value) })),
  };
}

function accessOf(access) {
  if (typeof access === 'string') return { tag: access };
  if (!access) throw new Error('a document must say who may find it: `access`');
  const { users = [], groups = [], groupIntersections = [] } = access;
  return { tag: 'restricted', val: { users, groups, groupIntersections } };
}

const contentOf = ({ mimeType, data }) => ({
  mimeType,
  data: { tag: typeof data === 'string' ? 'text' : 'binary', val: data },
});

function valueOf(value) {
  if (typeof value === 'number') return { tag: 'integer', val: value };
  return { tag: typeof value === 'string' ? 'text' : 'texts', val: value };
}

export function peopleOf({ users, groups, progress, unreadable = [] }) {
  const [[tag, value]] = Object.entries(progress);
  return {
    users: users.map((user) => ({ active: true, ...user })),
    groups: groups.map(({ name, members, continues = false }) => ({
      name,
      members: members.map((member) => {
        const [[tag, val]] = Object.entries(member);
        return { tag, val };
      }),
      continues,
    })),
    unreadable,
    progress: tag === 'complete' ? { tag } : { tag, val: value },
  };
}
