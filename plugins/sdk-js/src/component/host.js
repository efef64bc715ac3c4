// What the host gives every connector.

import * as host from 'sheaf:connector/host@0.1.0';

import { Fault } from '../fault.js';

export const settings = () => JSON.parse(host.settings() || '{}');

export function credential(name) {
  try {
    return host.credential(name);
  } catch (error) {
    throw Fault.fixSettings(`the credential cannot be used: ${error.payload ?? error.message}`);
  }
}

const at = (level) => (message, fields = {}) => {
  const pairs = Object.entries(fields).map(([name, value]) => [name, `${value}`]);
  host.log(level, `${message}`, pairs);
};

export const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
