// What becomes of the sample, without a host: `npm test`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Reading } from './connector.js';
import { Source } from './source.js';

const SAMPLE = fileURLToPath(new URL('../sample', import.meta.url));

// The ids that a crawl delivers and deletes, and how it ends.
async function crawled(crawl) {
  const reading = new Reading(new Source(undefined, SAMPLE), crawl);
  const ids = [];
  const gone = [];
  for (;;) {
    const { documents, deleted = [], progress } = await reading.next();
    ids.push(...documents.map(({ id }) => id));
    gone.push(...deleted.map(({ id }) => id));
    if (!('more' in progress)) return { ids, gone, progress };
  }
}

test('a full crawl reads every page', async () => {
  const { ids, gone, progress } = await crawled({});
  assert.deepEqual([ids.length, gone], [7, []]);
  assert.deepEqual(progress, { complete: '{"newest":1767830400}' });
});

test('a crawl resumes at its checkpoint', async () => {
  const { ids } = await crawled({ resume: '{"page":"notes-3.json","newest":0}' });
  assert.deepEqual(ids, ['keys']);
});

test('an incremental crawl reads what changed and says what is gone', async () => {
  const { ids, gone } = await crawled({ bookmark: '{"newest":1767744000}' });
  assert.deepEqual([ids, gone], [['keys'], ['fax']]);
});

test('a strange checkpoint starts over', async () => {
  await assert.rejects(crawled({ resume: '?' }), { remedy: 'start-over' });
});
