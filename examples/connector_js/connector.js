// A Sheaf connector in JavaScript: ten greetings, a few to a page.

import { log, settings } from 'sheaf:connector/host@0.1.0';

const COUNT = 10;
const PAGE = 4;
const WRITTEN = Date.parse('2026-01-01T00:00:00Z') / 1000;

const SETTINGS = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    greeting: {
      type: 'string',
      description: 'What every document says.',
      default: 'Hello',
    },
  },
  additionalProperties: false,
};

const DATASOURCE = {
  displayName: 'JavaScript Hello',
  datasourceCategory: 'KNOWLEDGE_HUB',
  urlRegex: 'https://example\\.com/hello/.*',
  objectDefinitions: [{ name: 'Greeting', docCategory: 'KNOWLEDGE_HUB' }],
};

export const connector = {
  describe: () => ({
    name: 'js-hello',
    version: '0.1.0',
    description: 'Ten greetings, to start your own connector from.',
    settingsSchema: JSON.stringify(SETTINGS),
    hosts: [],
    credentials: [],
    incremental: false,
  }),

  datasource: () => JSON.stringify(DATASOURCE),

  check: () => `Ready to say '${greeting()}'.`,
};

class Cursor {
  constructor(greeting, position) {
    this.greeting = greeting;
    this.position = position;
  }

  next(limits) {
    const start = this.position;
    const end = Math.min(start + Math.min(PAGE, limits.documents), COUNT);
    this.position = end;

    const documents = [];
    for (let number = start + 1; number <= end; number++) {
      documents.push(this.document(number));
    }
    return {
      documents,
      deleted: [],
      accessChanges: [],
      unreadable: [],
      progress: end < COUNT ? { tag: 'more', val: `${end}` } : { tag: 'complete' },
    };
  }

  document(number) {
    return {
      id: `hello-${number}`,
      objectType: 'Greeting',
      viewUrl: `https://example.com/hello/${number}`,
      access: { tag: 'everyone' },
      title: `${this.greeting} ${number}`,
      body: {
        mimeType: 'text/plain',
        data: { tag: 'text', val: `${this.greeting} from document ${number}.` },
      },
      updatedAt: WRITTEN,
      // A list can be empty, but not left out.
      tags: [],
      comments: [],
      additionalUrls: [],
      properties: [],
    };
  }
}

export const documents = {
  Cursor,

  scopes: () => [{ id: 'greetings', title: 'Greetings', documents: COUNT }],

  open(crawl) {
    const position = parse(crawl.resume ?? '0');
    log('info', 'reading greetings', [['from', `${position}`]]);
    return new Cursor(greeting(), position);
  },
};

class Reading {
  next() {
    const ann = { email: 'ann@example.com', name: 'Ann', active: true };
    const readers = {
      name: 'readers',
      members: [{ tag: 'email', val: ann.email }],
      continues: false,
    };
    return { users: [ann], groups: [readers], unreadable: [], progress: { tag: 'complete' } };
  }
}

export const identities = {
  Reading,

  // Nothing where the settings have no users and groups to tell of.
  open: () => new Reading(),
};

function greeting() {
  const { greeting = 'Hello' } = JSON.parse(settings());
  if (typeof greeting !== 'string') {
    throw fault('fix-settings', 'Set `greeting` to a string, or leave it out.');
  }
  return greeting;
}

function parse(checkpoint) {
  const position = /^\d+$/.test(checkpoint) ? Number(checkpoint) : NaN;
  if (position < COUNT) return position;
  throw fault('start-over', `'${checkpoint}' is not a checkpoint of this connector.`);
}

function fault(remedy, message) {
  return { remedy, message };
}

// Any other error must become a fault too: without a remedy it would end in a trap that hides it.
Object.defineProperty(Error.prototype, 'remedy', {
  get() {
    console.error(this.stack);
    return 'retry';
  },
});
