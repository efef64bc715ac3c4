// How handles are given back: what the host lends has to be, and it lends a thousand at once.

import { Fields } from 'wasi:http/types@0.2.12';

// This engine has no `Symbol.dispose` of its own.
export const DISPOSE = Symbol.dispose ?? Symbol.for('dispose');

// The bindings note each handle in a FinalizationRegistry, and this engine keeps some 400 bytes of each note
// for good. Nothing is left to it here, so it notes nothing. The bindings have globals of their own.
const registry = Fields.constructor('return FinalizationRegistry')().prototype;
registry.register = registry.unregister = () => {};
