// A Sheaf connector in JavaScript: ten greetings, a few to a page.

import { Fault, complete, log, more } from 'sheaf-sdk';

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
    return end < COUNT ? more(documents, `${end}`) : complete(documents);
  }

  document(number) {
    return {
      id: `hello-${number}`,
      objectType: 'Greeting',
      viewUrl: `https://example.com/hello/${number}`,
      access: 'everyone',
      title: `${this.greeting} ${number}`,
      body: { mimeType: 'text/plain', data: `${this.greeting} from document ${number}.` },
      updatedAt: WRITTEN,
    };
  }
}

class Reading {
  next() {
    const ann = { email: 'ann@example.com', name: 'Ann' };
    const readers = { name: 'readers', members: [{ email: ann.email }] };
    return { users: [ann], groups: [readers], progress: { complete: true } };
  }
}

/** @type {import('sheaf-sdk').Connector<{ greeting?: string }>} */
export default {
  manifest: {
    name: 'js-hello',
    version: '0.1.0',
    description: 'Ten greetings, to start your own connector from.',
    settings: SETTINGS,
  },

  datasource: () => ({
    displayName: 'JavaScript Hello',
    datasourceCategory: 'KNOWLEDGE_HUB',
    urlRegex: 'https://example\\.com/hello/.*',
    objectDefinitions: [{ name: 'Greeting', docCategory: 'KNOWLEDGE_HUB' }],
  }),

  check: ({ greeting = 'Hello' }) => `Ready to say '${greeting}'.`,

  scopes: () => [{ id: 'greetings', title: 'Greetings', documents: COUNT }],

  open({ greeting = 'Hello' }, { resume = '0' }) {
    const position = /^\d+$/.test(resume) ? Number(resume) : NaN;
    if (!(position < COUNT)) {
      throw Fault.startOver(`'${resume}' is not a checkpoint of this connector.`);
    }
    log.info('reading greetings', { from: position });
    return new Cursor(greeting, position);
  },

  openIdentities: () => new Reading(),
};
