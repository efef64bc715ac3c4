// The same without a host, for tests.

import { Fault } from '../fault.js';

export function credential(name) {
  throw Fault.fixSettings(`the credential \`${name}\` is not granted: there is no host here`);
}

const at = (level) => (message, fields = {}) => {
  const pairs = Object.entries(fields).map(([name, value]) => ` ${name}=${value}`);
  console.error(`${level}: ${message}${pairs.join('')}`);
};

export const log = { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') };
