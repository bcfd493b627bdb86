// A stream's pictures as a page takes them: sets, credit and what was missed.
import { LinkLostError } from "./errors.js";
import { Frame } from "./frames.js";

/** @typedef {import("./link.js").Fields} Fields */

/** The frames of one result: one for each output that was asked for. */
export class FrameSet {
  /** @param {Frame} first */
  constructor(first) {
    this.number = first.number;
    this.request = first.request;
    this.index = first.index;
    this.held = first.held;
    this.preview = first.preview;
    /** @type {Frame[]} */
    this.frames = [];
  }

  /** The first frame, or that of an output. @param {number} [output] @returns {Frame | undefined} */
  frame(output) {
    return output === undefined ? this.frames[0] : this.frames.find((frame) => frame.output === output);
  }

  /** @param {Frame} frame */
  holds(frame) {
    return (
      this.number === frame.number && this.request === frame.request && this.index === frame.index &&
      this.held === frame.held && this.preview === frame.preview
    );
  }
}

/**
 * A stream's pictures. `take()` gives the newest one, once, and tells the bridge that you are ready for the next: call it
 * when you are about to draw, in requestAnimationFrame. What you don't take is replaced by what is newer.
 */
export class Subscription {
  /** @param {import("./link.js").TexBridge} link @param {string | number} stream @param {Fields} fields */
  constructor(link, stream, fields) {
    this.link = link;
    this.stream = stream;
    this.fields = fields;
    /** The stream's number in frames. */
    this.number = 0;
    /** The values that hold, as `subscribed` told them. @type {Fields} */
    this.subscribed = {};
    /** Sets that the stream released and this subscriber did not get. */
    this.missed = 0;
    this.isOpen = true;
    /** @type {FrameSet | null} */
    this.partial = null;
    /** @type {FrameSet | null} */
    this.newest = null;
    this.lastNumber = 0;
    this.unacked = 0;
    /** @type {{resolve: (set: FrameSet) => void, reject: (error: Error) => void}[]} */
    this.waiting = [];
  }

  /** The newest picture that you haven't taken yet, or null. Its payloads are yours: nothing writes over them. */
  take() {
    const set = this.newest;
    this.newest = null;
    if (set === null || set.preview) return set;
    const number = Math.max(set.number, this.unacked);
    this.unacked = 0;
    if (number > 0) this.link.tell("ack", { stream: this.number, number });
    return set;
  }

  /** Waits for a picture and takes it. @returns {Promise<FrameSet>} */
  next() {
    const set = this.take();
    if (set !== null) return Promise.resolve(set);
    if (!this.isOpen) return Promise.reject(new LinkLostError("the subscription is over"));
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /** No more frames. */
  close() {
    if (!this.isOpen) return;
    this.link.forget(this);
    this.link.tell("unsubscribe", { stream: this.number || this.stream });
    this.end(new LinkLostError("the subscription is over"));
  }

  /** @param {Frame} frame */
  feed(frame) {
    if (this.partial === null || !this.partial.holds(frame)) this.partial = new FrameSet(frame);
    this.partial.frames.push(frame);
    if (!frame.lastOfSet) return;
    const set = this.partial;
    this.partial = null;
    if (!set.held && !set.preview) {
      if (this.lastNumber > 0 && set.number > this.lastNumber + 1) this.missed += set.number - this.lastNumber - 1;
      this.lastNumber = Math.max(this.lastNumber, set.number);
    }
    if (!set.preview) this.unacked = Math.max(this.unacked, set.number);
    this.newest = set;
    const next = this.waiting.shift();
    if (next) next.resolve(/** @type {FrameSet} */ (this.take()));
  }

  /** What was on its way is lost, and numbers may begin anew. @param {boolean} anew */
  restart(anew) {
    this.partial = null;
    this.unacked = 0;
    if (anew) this.lastNumber = 0;
  }

  /** @param {Error} error */
  end(error) {
    this.isOpen = false;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
