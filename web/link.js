// The engine link over a browser's WebSocket: handshake, requests, subscriptions, cuts. Written from protocols/.
import { LinkLostError, TexBridgeError } from "./errors.js";
import { decodeFrame, isBinary, isPart, PartAssembler } from "./frames.js";
import { decodeMessage, encodeMessage } from "./messages.js";
import { Request } from "./request.js";
import { Subscription } from "./subscription.js";

/** @typedef {Record<string, any>} Fields fields of a message, by their names in engine-link.md */

const PROTOCOL = "texbridge.v1";
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5000;
const PING_MS = 10000;
const MAX_PART_BYTES = 512 * 1024 * 1024;
// After these another try would end the same way: malformed messages, token, version, a session that went elsewhere.
const FINAL = new Set([101, 102, 104, 105, 106, 107, 401, 402, 409, 413]);

/** @typedef {{resolve: (answer: Fields) => void, reject: (error: Error) => void, request?: Request}} Waiting */

/**
 * A link to a bridge. Events: `state` (detail: the state, and what went wrong), `changed`, `progress`, `finished`,
 * `error` (detail: the message), `welcome`.
 *
 * After a cut it connects again by itself, later and later, up to 5 s apart. Subscriptions hold; where the bridge was
 * restarted, streams are opened and values set anew, and unfinished requests reject.
 */
export class TexBridge extends EventTarget {
  /**
   * @param {string} url ws://127.0.0.1:9401/link
   * @param {{token?: string, client?: string, max_message_bytes?: number, events?: string[], retry?: boolean,
   *   timeout_s?: number}} [options] `retry` false: one try, and a cut is the end
   */
  constructor(url, options = {}) {
    super();
    this.url = url;
    this.options = options;
    /** @type {"connecting" | "open" | "waiting" | "closed"} */
    this.state = "connecting";
    /** The bridge's greeting, once there was one. @type {Fields | null} */
    this.welcome = null;
    /** Why the last connection ended. @type {Error | null} */
    this.lastError = null;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {Map<number, Waiting>} */
    this.answers = new Map();
    /** @type {Map<string | number, Request>} by key */
    this.requests = new Map();
    /** @type {Map<string | number, Subscription>} by the name or number that was given */
    this.subscriptions = new Map();
    /** @type {Map<string, Fields>} what this page opened */
    this.opened = new Map();
    /** @type {Map<string | number, Fields>} the last value of each parameter that this page set */
    this.values = new Map();
    /** @type {Set<string | number>} streams whose values were set while there was no link */
    this.unsent = new Set();
    this.lastId = 0;
    this.tries = 0;
    this.keys = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.heart = undefined;
    this.dial();
  }

  /**
   * Gives a link once the bridge has greeted. With `retry` (the default) it goes on trying while nobody answers, and
   * rejects only where that is no use: a wrong token, say.
   * @param {string} url
   * @param {ConstructorParameters<typeof TexBridge>[1]} [options]
   * @returns {Promise<TexBridge>}
   */
  static connect(url, options) {
    const link = new TexBridge(url, options);
    return new Promise((resolve, reject) => {
      link.addEventListener("welcome", () => resolve(link), { once: true });
      link.addEventListener("state", () => {
        if (link.state === "closed") reject(link.lastError ?? new LinkLostError("closed"));
      });
    });
  }

  // --- what a page asks for ---------------------------------------------------------------------------------------

  /** What a workflow or a stream has. @param {{workflow?: string, stream?: string | number}} what */
  describe(what) {
    return this.ask("describe", what);
  }

  /**
   * Makes a stream, or attaches to the one that has this name.
   * @param {string} stream @param {string} workflow @param {"oneshot" | "latest" | "live"} mode
   * @param {Fields} [fields] params, size, aspect, megapixels, seed_policy, max_fps, replace
   */
  async open(stream, workflow, mode, fields = {}) {
    /** @type {Fields} */
    const message = { stream, workflow, mode, ...fields };
    const answer = await this.ask("open", message);
    const { replace: _, params, ...again } = message;
    this.opened.set(stream, again);
    if (params) this.remember(stream, params);
    return answer;
  }

  /**
   * Sets values. Never waits; without a link they are sent when there is one again. What is wrong with them comes as an
   * `error` event; `ask("set", ...)` gives an answer.
   * @param {string | number} stream @param {Fields} params @param {Fields} [fields] client_time
   */
  set(stream, params, fields = {}) {
    this.remember(stream, params);
    if (!this.tell("set", { stream, params, ...fields })) this.unsent.add(stream);
  }

  /**
   * Sends a picture to an image parameter: an ImageData, or {encoded: bytes of a PNG, JPEG or WebP file}.
   * @param {string | number} stream @param {string} param @param {ImageData | Fields} picture @param {Fields} [fields]
   */
  image(stream, param, picture, fields = {}) {
    const value =
      picture instanceof ImageData
        ? { width: picture.width, height: picture.height, format: "rgba8", origin: "top_left", data: picture.data }
        : picture;
    return this.ask("image", { stream, param, value, ...fields });
  }

  /**
   * Asks for one picture. Gives a Request once it is accepted.
   * @param {string | number} stream @param {Fields} [params]
   * @param {Fields} [fields] key, client_time, deadline_ms, priority, seed
   * @returns {Promise<Request>}
   */
  run(stream, params, fields = {}) {
    const key = fields.key ?? `${this.keys}-${(this.lastId += 1)}`;
    const request = new Request({ stream, params, ...fields, key });
    if (params) this.remember(stream, params);
    return new Promise((resolve, reject) => {
      if (this.state !== "open") {
        reject(new LinkLostError("there is no link at the moment"));
      } else if (this.requests.has(key)) {
        reject(new RangeError(`key ${key} is unfinished`));
      } else {
        this.requests.set(key, request);
        request.accepted = () => resolve(request);
        request.refused = reject;
        this.sendRun(request);
      }
    });
  }

  /** Ends requests. @param {{request?: number, stream?: string | number, all?: boolean}} what */
  cancel(what) {
    return this.ask("cancel", what);
  }

  /** @param {string | number} stream @param {boolean} on @param {number} [fade_s] */
  live(stream, on, fade_s) {
    return this.ask("live", { stream, on, fade_s });
  }

  /** @param {string | number} stream @param {boolean} on @param {number} [fade_s] */
  freeze(stream, on, fade_s) {
    return this.ask("freeze", { stream, on, fade_s });
  }

  /** @param {string | number} stream @param {boolean} on @param {number} [fade_s] */
  blackout(stream, on, fade_s) {
    return this.ask("blackout", { stream, on, fade_s });
  }

  /** Everything stops, for everybody. */
  panic() {
    return this.ask("panic");
  }

  /** Ends a panic. */
  resume() {
    return this.ask("resume");
  }

  /**
   * Asks for a stream's pictures; a second subscription to the same stream replaces the first.
   * @param {string | number} stream
   * @param {Fields} [fields] format, origin, credit, outputs, size, fit, mips, color; `rgba8`, bottom_left by default
   * @returns {Promise<Subscription>}
   */
  async subscribe(stream, fields = {}) {
    const all = { format: "rgba8", origin: "bottom_left", delivery: "latest", credit: 1, ...fields };
    const subscription = new Subscription(this, stream, all);
    await this.sendSubscribe(subscription);
    return subscription;
  }

  /** Ends the link for good. The bridge is told, so that it keeps no place for a session that won't come back. */
  close() {
    for (const { number, stream } of this.subscriptions.values()) this.tell("unsubscribe", { stream: number || stream });
    for (const stream of this.opened.keys()) this.tell("close", { stream });
    this.shut(new LinkLostError("the link was closed"), false);
  }

  // --- messages ---------------------------------------------------------------------------------------------------

  /**
   * Sends a message and gives its answer; rejects with TexBridgeError for an `error`.
   * @param {string} op @param {Fields} [fields]
   * @returns {Promise<Fields>}
   */
  ask(op, fields = {}) {
    return new Promise((resolve, reject) => this.question(op, fields, { resolve, reject }));
  }

  /**
   * Sends a message without asking for an answer; false if there is no link.
   * @param {string} op @param {Fields} [fields]
   */
  tell(op, fields = {}) {
    if (this.state !== "open") return false;
    this.send({ op, ...fields });
    return true;
  }

  /** @param {string} op @param {Fields} fields @param {Waiting} waiting */
  question(op, fields, waiting) {
    if (this.state !== "open" && op !== "hello") {
      waiting.reject(new LinkLostError("there is no link at the moment"));
      return;
    }
    const id = (this.lastId += 1);
    this.answers.set(id, waiting);
    try {
      this.send({ op, id, ...fields });
    } catch (error) {
      this.answers.delete(id);
      waiting.reject(/** @type {Error} */ (error));
    }
  }

  /** @param {Fields} message */
  send(message) {
    const bytes = encodeMessage(message);
    const most = this.welcome?.limits?.max_message_bytes;
    if (bytes.length > most) {
      throw new TexBridgeError(105, "message_too_large", `${message.op} has ${bytes.length} bytes, at most ${most}`);
    }
    /** @type {WebSocket} */ (this.socket).send(bytes);
  }

  /** @param {Request} request */
  sendRun(request) {
    const failed = (/** @type {Error} */ error) => {
      this.requests.delete(request.key);
      request.refused(error);
      request.reject(error);
    };
    const accepted = (/** @type {Fields} */ answer) => {
      request.request = answer.request;
      request.accepted();
    };
    this.question("run", request.message, { resolve: accepted, reject: failed, request });
  }

  /** @param {Subscription} subscription @returns {Promise<void>} */
  sendSubscribe(subscription) {
    return new Promise((resolve, reject) => {
      // In the answer's own turn: the first frame may be the very next message.
      const subscribed = (/** @type {Fields} */ answer) => {
        for (const other of [...this.subscriptions.values()]) {
          if (other !== subscription && other.number === answer.number) {
            this.forget(other);
            other.end(new LinkLostError("another subscription to this stream took its place"));
          }
        }
        subscription.number = answer.number;
        subscription.subscribed = answer;
        this.subscriptions.set(subscription.stream, subscription);
        resolve();
      };
      this.question("subscribe", { stream: subscription.stream, ...subscription.fields }, { resolve: subscribed, reject });
    });
  }

  /** @param {Subscription} subscription */
  forget(subscription) {
    if (this.subscriptions.get(subscription.stream) === subscription) this.subscriptions.delete(subscription.stream);
  }

  /** @param {string | number} stream @param {Fields} params */
  remember(stream, params) {
    this.values.set(stream, { ...this.values.get(stream), ...params });
  }

  // --- the connection ---------------------------------------------------------------------------------------------

  dial() {
    this.become("connecting");
    const socket = new WebSocket(this.url, PROTOCOL);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.parts = new PartAssembler(MAX_PART_BYTES);
    /** @type {Error | null} */
    this.fatal = null;
    const limit = setTimeout(() => this.lost(socket, `no welcome from ${this.url}`), (this.options.timeout_s ?? 10) * 1000);
    socket.onopen = () => {
      const { token, client, max_message_bytes, events } = this.options;
      const session = this.welcome?.session;
      const hello = { version: 1, client: client ?? "texbridge.js 0.1.0", token, session, max_message_bytes, events };
      this.question("hello", hello, {
        resolve: (welcome) => {
          clearTimeout(limit);
          this.greeted(welcome);
        },
        reject: () => {},
      });
    };
    socket.onmessage = (event) => {
      if (this.socket !== socket) return;
      try {
        this.take(new Uint8Array(event.data));
      } catch (error) {
        if (!(error instanceof TexBridgeError)) throw error;
        if (error.code === 106 || error.code === 107) {
          this.dispatchEvent(new CustomEvent("error", { detail: error })); // one message, not the link
          return;
        }
        this.fatal ??= error;
        this.lost(socket, error.message);
      }
    };
    socket.onclose = (event) => {
      clearTimeout(limit);
      if (event.code > 4000) {
        this.fatal ??= new TexBridgeError(event.code - 4000, "closed", event.reason || `closed with ${event.code}`);
      }
      const why =
        this.state === "connecting"
          ? `no bridge answers at ${this.url}, or it doesn't let pages of ${globalThis.origin} connect:` +
            ` add "${globalThis.origin}" to \`origins\` of [link] in its configuration`
          : `the link was cut (${event.code} ${event.reason})`;
      this.lost(socket, why);
    };
  }

  /** @param {Uint8Array} message */
  take(message) {
    if (isPart(message)) {
      const whole = /** @type {PartAssembler} */ (this.parts).feed(message);
      if (whole === null) return;
      message = whole;
    }
    if (isBinary(message)) {
      this.takeFrame(message);
      return;
    }
    const fields = decodeMessage(message);
    const { op, id } = fields;
    if (op === "error" && fields.fatal) this.fatal = errorOf(fields);
    const waiting = id === undefined || id === null ? undefined : this.answers.get(id);
    if (waiting) {
      this.answers.delete(id);
      if (op === "error") waiting.reject(errorOf(fields));
      else waiting.resolve(fields);
    } else if (op === "finished") {
      this.takeFinished(fields);
    } else if (op === "changed" || op === "progress" || op === "error") {
      this.dispatchEvent(new CustomEvent(op, { detail: fields }));
    }
  }

  /** @param {Uint8Array} message */
  takeFrame(message) {
    let frame;
    try {
      frame = decodeFrame(message);
    } catch (error) {
      if (!(error instanceof TexBridgeError)) throw error;
      this.dispatchEvent(new CustomEvent("error", { detail: error }));
      return;
    }
    for (const subscription of this.subscriptions.values()) {
      if (subscription.number === frame.stream) subscription.feed(frame);
    }
  }

  /** @param {Fields} fields */
  takeFinished(fields) {
    for (const request of this.requests.values()) {
      if (request.request === fields.request || (fields.key !== undefined && request.key === fields.key)) {
        this.requests.delete(request.key);
        request.request = fields.request;
        request.resolve(fields);
      }
    }
    this.dispatchEvent(new CustomEvent("finished", { detail: fields }));
  }

  /** @param {Fields} welcome */
  greeted(welcome) {
    const before = this.welcome;
    this.welcome = welcome;
    this.tries = 0;
    this.become("open");
    const anew = before !== null && before.boot !== welcome.boot;
    if (before !== null && !welcome.resumed) this.failRequests(anew ? "the bridge was restarted" : "the session was over");
    for (const subscription of this.subscriptions.values()) subscription.restart(!welcome.resumed);
    if (before !== null && !welcome.resumed) this.restore(anew);
    for (const stream of this.unsent) this.tell("set", { stream, params: this.values.get(stream) });
    this.unsent.clear();
    // By its key each is the same request, and one whose answer was lost with the old connection gets it now.
    for (const request of this.requests.values()) this.sendRun(request);
    clearInterval(this.heart);
    this.heart = setInterval(() => this.beat(), PING_MS);
    this.dispatchEvent(new CustomEvent("welcome", { detail: welcome }));
  }

  /** Streams, values and subscriptions for a bridge that doesn't know us. @param {boolean} anew */
  restore(anew) {
    const tell = (/** @type {Error} */ error) => this.dispatchEvent(new CustomEvent("error", { detail: error }));
    for (const fields of this.opened.values()) this.ask("open", fields).catch(tell);
    if (anew) for (const stream of this.values.keys()) this.unsent.add(stream);
    for (const subscription of [...this.subscriptions.values()]) {
      this.sendSubscribe(subscription).catch(tell);
    }
  }

  beat() {
    const socket = this.socket;
    let answered = false;
    this.ask("ping").then(() => (answered = true), () => {});
    setTimeout(() => {
      if (!answered && socket !== null && this.state === "open") this.lost(socket, "the bridge doesn't answer");
    }, PING_MS);
  }

  /** @param {string} why */
  failRequests(why) {
    for (const request of this.requests.values()) {
      const error = new LinkLostError(why);
      request.refused(error);
      request.reject(error);
    }
    this.requests.clear();
  }

  /** @param {WebSocket} socket @param {string} why */
  lost(socket, why) {
    if (this.socket !== socket) return;
    const error = this.fatal ?? new LinkLostError(why);
    const final = this.options.retry === false || (error instanceof TexBridgeError && FINAL.has(error.code));
    this.shut(error, !final);
  }

  /** @param {Error} error @param {boolean} again */
  shut(error, again) {
    if (this.state === "closed") return;
    const socket = this.socket;
    this.socket = null;
    clearInterval(this.heart);
    clearTimeout(this.timer);
    socket?.close();
    const waiting = [...this.answers.values()];
    this.answers.clear();
    this.lastError = error;
    this.state = again ? "waiting" : "closed";
    for (const { request, reject } of waiting) {
      if (again && request !== undefined) continue; // sent again, with the same key
      reject(error);
    }
    if (again) {
      const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries++);
      this.timer = setTimeout(() => this.dial(), wait * (0.5 + Math.random() / 2));
    } else {
      this.failRequests(error.message);
      for (const subscription of this.subscriptions.values()) subscription.end(error);
      this.subscriptions.clear();
    }
    this.dispatchEvent(new CustomEvent("state", { detail: { state: this.state, error } }));
  }

  /** @param {"connecting" | "open"} state */
  become(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, error: this.lastError } }));
  }
}

/** @param {Fields} fields */
function errorOf(fields) {
  return new TexBridgeError(fields.code, fields.name, fields.message, fields);
}
