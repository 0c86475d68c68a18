// Refusal says why a text is no valid certificate. Its reason is one of the words
// that the page has a text for, or a layer below "unreadable".
export class Refusal extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}
