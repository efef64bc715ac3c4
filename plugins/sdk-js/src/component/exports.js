// Between the contract's bindings and a connector's default export.

import { settings } from './host.js';
import { manifestOf, pageOf, peopleOf } from './to-wit.js';

// What a call throws, as the contract says it.
async function told(call) {
  try {
    return await call();
  } catch (error) {
    const { remedy, message, retryAfter } = error ?? {};
    if (remedy) throw { remedy, message: `${message}`, retryAfter };
    console.error(error?.stack ?? `${error}`);
    throw { remedy: 'retry', message: `${message ?? error}` };
  }
}

export function exportsOf(connector) {
  const all = [{ id: 'all', title: 'All documents' }];

  class Cursor {
    constructor(cursor) {
      this.cursor = cursor;
    }

    next(limits) {
      return told(async () => pageOf(await this.cursor.next(limits)));
    }
  }

  class Reading {
    constructor(reading) {
      this.reading = reading;
    }

    next(limit) {
      return told(async () => peopleOf(await this.reading.next(limit)));
    }
  }

  return {
    connector: {
      describe: () => manifestOf(connector.manifest),
      datasource: () =>
        told(async () => JSON.stringify(await connector.datasource(settings()))),
      check: () =>
        told(async () => (await connector.check?.(settings())) ?? 'nothing to check'),
    },
    documents: {
      Cursor,
      scopes: () => told(async () => (await connector.scopes?.(settings())) ?? all),
      open: ({ mode, scope, resume }) =>
        told(async () => {
          const bookmark = mode.tag === 'incremental' ? mode.val : undefined;
          return new Cursor(await connector.open(settings(), { scope, bookmark, resume }));
        }),
    },
    identities: {
      Reading,
      open: (resume) =>
        told(async () => {
          const reading = await connector.openIdentities?.(settings(), resume);
          return reading && new Reading(reading);
        }),
    },
  };
}
