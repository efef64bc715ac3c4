// Turns connector.js into a component: build.mjs WIT OUTPUT

import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { componentize } from '@bytecodealliance/componentize-js';

const [witPath, output] = process.argv.slice(2).map((path) => resolve(path));

// componentize-js reads sources relative to the working directory.
process.chdir(import.meta.dirname);

const { component } = await componentize({
  sourcePath: 'connector.js',
  witPath,
  worldName: 'document-connector-http',
  // The engine's own `fetch` never gives its handles back: see http.js.
  disableFeatures: ['http', 'fetch-event'],
});

await writeFile(output, component);
