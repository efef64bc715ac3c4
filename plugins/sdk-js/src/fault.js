// What went wrong, in one sentence for the operator, and what the host shall do about it. It must hold no secrets.
// Any other error becomes one to retry, and its stack goes to the worker's log.
export class Fault extends Error {
  constructor(remedy, message, retryAfter) {
    super(message);
    this.name = 'Fault';
    this.remedy = remedy;
    this.retryAfter = retryAfter;
  }

  // The operator must change the settings or the grants. Not retried.
  static fixSettings = (message) => new Fault('fix-settings', message);
  // The operator must renew a credential. Not retried.
  static reauthenticate = (message) => new Fault('reauthenticate', message);
  // Try again from the last checkpoint, after so many seconds if the source said so.
  static retry = (message, retryAfter) => new Fault('retry', message, retryAfter);
  // The checkpoint or bookmark is no longer valid: start this scope again.
  static startOver = (message) => new Fault('start-over', message);
  // Nothing will help. Not retried.
  static giveUp = (message) => new Fault('give-up', message);
}
