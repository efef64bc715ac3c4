// What a connector says and delivers. `http` reads hosts, `folders` reads folders; all of it works under Node as
// well, in tests.

export { credential, log } from '#host';
export { Fault } from './fault.js';

// A page after which more follows. Once Glean has it, an interrupted crawl resumes at the checkpoint.
export function more(documents, checkpoint) {
  return { documents, progress: { more: checkpoint } };
}

// The last page: the scope was read to its end. The bookmark is for the next incremental crawl.
export function complete(documents, bookmark) {
  return { documents, progress: { complete: bookmark } };
}

// The last page that the source gives: nothing that is missing may be deleted.
export function partial(documents, reason) {
  return { documents, progress: { partial: reason } };
}

// Only these people, by e-mail, and the members of these groups. Nobody, where both are empty.
export function only(users = [], groups = []) {
  return { users: users.map((email) => ({ email })), groups };
}
