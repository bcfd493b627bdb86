// What goes wrong on the engine link. Codes and names are those of protocols/errors.md.

/** An error of the bridge, or bytes that are not what they should be. `code` and `name` are those of errors.md. */
export class TexBridgeError extends Error {
  /**
   * @param {number} code
   * @param {string} name
   * @param {string} message
   * @param {{field?: string, value?: unknown, limit?: unknown, fatal?: boolean}} [more]
   */
  constructor(code, name, message, more = {}) {
    super(message);
    this.code = code;
    this.name = name;
    this.field = more.field;
    this.value = more.value;
    this.limit = more.limit;
    this.fatal = more.fatal === true;
  }
}

/** The connection went away before the answer came. */
export class LinkLostError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "link_lost";
  }
}
