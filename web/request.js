// A picture that a page asked for, until its one terminal answer.

/** @typedef {import("./link.js").Fields} Fields */

/** A picture that was asked for. `finished` becomes its one terminal answer, or rejects where the bridge is gone. */
export class Request {
  /** @param {Fields} message */
  constructor(message) {
    this.message = message;
    this.key = message.key;
    /** The number, once it is accepted. @type {number} */
    this.request = 0;
    /** @type {() => void} */
    this.accepted = () => {};
    /** @type {(error: Error) => void} */
    this.refused = () => {};
    /** @type {(message: Fields) => void} */
    this.resolve = () => {};
    /** @type {(error: Error) => void} */
    this.reject = () => {};
    /** @type {Promise<Fields>} */
    this.finished = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.finished.catch(() => {}); // who doesn't look at it needn't handle it
  }
}
