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
  worldName: 'document-and-identity-connector',
});

await writeFile(output, component);
