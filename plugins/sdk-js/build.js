#!/usr/bin/env node
// sheaf-build [FOLDER] [--output FILE]: makes a component of the connector that "sheaf" in package.json names.

import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { componentize } from '@bytecodealliance/componentize-js';
import { build } from 'esbuild';

const here = import.meta.dirname;

const { values, positionals } = parseArgs({
  options: { output: { type: 'string' } },
  allowPositionals: true,
});
const folder = resolve(positionals[0] ?? '.');

try {
  const project = await projectOf(folder);
  const output = values.output ? resolve(values.output) : project.output;
  await make(project, output);
  const { size } = await stat(output);
  console.log(`${relative('.', output)}: ${Math.round(size / 1e6)} MB`);
} catch (error) {
  // What esbuild found wrong, it has shown.
  console.error(error.errors ? 'The connector could not be bundled.' : error.message);
  process.exitCode = 1;
}

async function projectOf(folder) {
  const file = join(folder, 'package.json');
  const text = await readFile(file, 'utf8').catch(() => {
    throw new Error(`${file} cannot be read. Run this in the connector's folder.`);
  });
  const { name = 'connector', sheaf = {} } = JSON.parse(text);
  const { connector = 'src/connector.js', identities = false, output = `build/${name}.wasm` } = sheaf;
  return { connector: join(folder, connector), identities, output: join(folder, output) };
}

// Writes the component, whole or not at all.
async function make({ connector, identities }, output) {
  const temporary = await mkdtemp(join(tmpdir(), 'sheaf-'));
  const started = process.cwd();
  try {
    const names = identities ? 'connector, documents, identities' : 'connector, documents';
    await build({
      stdin: {
        contents: `import { exportsOf } from ${JSON.stringify(join(here, 'src/component/exports.js'))};
          import written from ${JSON.stringify(connector)};
          export const { ${names} } = exportsOf(written);`,
        resolveDir: dirname(connector),
      },
      outfile: join(temporary, 'bundle.js'),
      bundle: true,
      format: 'esm',
      target: 'es2022',
      platform: 'browser',
      // The SDK has one way to the host, and another for tests under Node.
      conditions: ['sheaf'],
      external: ['sheaf:*', 'wasi:*'],
    });
    // componentize-js reads sources relative to the working directory.
    process.chdir(temporary);
    const { component } = await componentize({
      sourcePath: 'bundle.js',
      witPath: join(here, 'wit'),
      worldName: identities ? 'javascript-with-identities' : 'javascript',
      // The engine's own `fetch` never gives its handles back.
      disableFeatures: ['http', 'fetch-event'],
    });
    await mkdir(dirname(output), { recursive: true });
    const partial = join(dirname(output), `${basename(output)}.partial`);
    await writeFile(partial, component);
    await rename(partial, output);
  } finally {
    process.chdir(started);
    await rm(temporary, { recursive: true, force: true });
  }
}
