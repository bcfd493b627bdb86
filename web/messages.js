// The messages of the engine link as bytes: the part of msgpack that it uses. Written from protocols/; no dependencies.
// Field names are those of the pages in protocols/, letter by letter. A u64 is a number up to 2^53-1, a BigInt above.
import { TexBridgeError } from "./errors.js";

const MAX_DEPTH = 16;
const MAX_NODES = 65536;
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Gives a msgpack map. Whole numbers become ints, as the link takes them for floats too; `undefined` and `null` fields
 * of a map are left out; Uint8Array, Uint8ClampedArray and ArrayBuffer become bin, other typed arrays a list.
 * Throws a TypeError or RangeError for what has no form on the link (functions, NaN, numbers beyond 64 bits).
 * @param {Record<string, unknown>} message
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeMessage(message) {
  /** @type {Uint8Array[]} */
  const chunks = [];
  writeValue(chunks, message, 1);
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** @param {Uint8Array[]} chunks @param {unknown} value @param {number} depth */
function writeValue(chunks, value, depth) {
  if (value === null || value === undefined) {
    chunks.push(Uint8Array.of(0xc0));
  } else if (typeof value === "boolean") {
    chunks.push(Uint8Array.of(value ? 0xc3 : 0xc2));
  } else if (typeof value === "number") {
    writeNumber(chunks, value);
  } else if (typeof value === "bigint") {
    writeInteger(chunks, value);
  } else if (typeof value === "string") {
    if (/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(value)) {
      throw new TypeError("text has half of a surrogate pair, which UTF-8 can't carry");
    }
    const bytes = utf8.encode(value);
    writeHead(chunks, bytes.length, 0xa0, 31, 0xd9, 0xda, 0xdb);
    chunks.push(bytes);
  } else if (value instanceof ArrayBuffer || value instanceof Uint8Array || value instanceof Uint8ClampedArray) {
    const bytes =
      value instanceof ArrayBuffer
        ? new Uint8Array(value)
        : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    writeHead(chunks, bytes.length, 0, -1, 0xc4, 0xc5, 0xc6);
    chunks.push(bytes);
  } else if (typeof value !== "object" || value instanceof DataView) {
    throw new TypeError(`a ${typeof value} has no form on the link`);
  } else if (depth > MAX_DEPTH) {
    throw new RangeError(`maps and lists are more than ${MAX_DEPTH} deep`);
  } else if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    const items = /** @type {ArrayLike<unknown>} */ (/** @type {unknown} */ (value));
    writeHead(chunks, items.length, 0x90, 15, 0, 0xdc, 0xdd);
    for (let place = 0; place < items.length; place++) writeValue(chunks, items[place], depth + 1);
  } else {
    const pairs = Object.entries(value).filter(([, inner]) => inner !== undefined && inner !== null);
    writeHead(chunks, pairs.length, 0x80, 15, 0, 0xde, 0xdf);
    for (const [key, inner] of pairs) {
      writeValue(chunks, key, depth + 1);
      writeValue(chunks, inner, depth + 1);
    }
  }
}

/**
 * @param {Uint8Array[]} chunks @param {number} count @param {number} fixed @param {number} most
 * @param {number} one @param {number} two @param {number} four
 */
function writeHead(chunks, count, fixed, most, one, two, four) {
  if (count <= most) {
    chunks.push(Uint8Array.of(fixed | count));
  } else if (one && count < 0x100) {
    chunks.push(Uint8Array.of(one, count));
  } else if (count < 0x10000) {
    chunks.push(Uint8Array.of(two, count >> 8, count & 0xff));
  } else {
    chunks.push(Uint8Array.of(four, count >>> 24, (count >>> 16) & 0xff, (count >>> 8) & 0xff, count & 0xff));
  }
}

/** @param {Uint8Array[]} chunks @param {number} value */
function writeNumber(chunks, value) {
  if (Number.isSafeInteger(value)) {
    writeInteger(chunks, BigInt(value));
    return;
  }
  if (!Number.isFinite(value)) throw new RangeError(`${value} has no form on the link`);
  const bytes = new DataView(new ArrayBuffer(9));
  bytes.setUint8(0, 0xcb);
  bytes.setFloat64(1, value);
  chunks.push(new Uint8Array(bytes.buffer));
}

/** @param {Uint8Array[]} chunks @param {bigint} value */
function writeInteger(chunks, value) {
  if (value >= -32n && value < 128n) {
    chunks.push(Uint8Array.of(Number(value) & 0xff));
    return;
  }
  if (value >= 1n << 64n || value < -(1n << 63n)) throw new RangeError(`${value} has more than 64 bits`);
  const size =
    value >= 0n
      ? [1, 2, 4, 8].find((bytes) => value < 1n << BigInt(8 * bytes))
      : [1, 2, 4, 8].find((bytes) => value >= -(1n << BigInt(8 * bytes - 1)));
  const power = Math.log2(/** @type {number} */ (size));
  const wide = new DataView(new ArrayBuffer(8));
  wide.setBigUint64(0, BigInt.asUintN(64, value));
  const out = new Uint8Array(1 + 2 ** power);
  out[0] = (value >= 0n ? 0xcc : 0xd0) + power;
  out.set(new Uint8Array(wide.buffer, 8 - 2 ** power), 1);
  chunks.push(out);
}

/**
 * Gives the map of a message. Lists and maps without a prototype; bin as a view of `bytes`, not a copy.
 * Throws TexBridgeError 102 (no msgpack map), 106 (too deep, too many, a key twice) or 107 (extension, key no text,
 * text no UTF-8, bytes after the map, NaN).
 * @param {Uint8Array} bytes
 * @returns {Record<string, any>}
 */
export function decodeMessage(bytes) {
  const first = bytes[0] ?? 0;
  if (!((first & 0xf0) === 0x80 || first === 0xde || first === 0xdf)) {
    throw new TexBridgeError(102, "not_msgpack", `a message begins with a map, not with byte ${bytes[0] ?? "none"}`);
  }
  const reader = new Reader(bytes);
  const message = reader.value(1);
  if (reader.at !== bytes.length) {
    throw new TexBridgeError(107, "bad_message", `${bytes.length - reader.at} bytes after the map`);
  }
  return message;
}

class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    this.nodes = 0;
  }

  /** @param {number} count @returns {number} where the next `count` bytes are */
  skip(count) {
    const at = this.at;
    if (count > this.bytes.length - at) throw new TexBridgeError(102, "not_msgpack", "the message ends early");
    this.at = at + count;
    return at;
  }

  /** @param {number} width @returns {number} */
  length(width) {
    const at = this.skip(width);
    return width === 1 ? this.view.getUint8(at) : width === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  /** @param {number} depth @returns {any} */
  value(depth) {
    if (++this.nodes > MAX_NODES) {
      throw new TexBridgeError(106, "message_too_complex", `more than ${MAX_NODES} keys, values and items`);
    }
    const head = this.view.getUint8(this.skip(1));
    if (head < 0x80) return head;
    if (head < 0x90) return this.map(head & 15, depth);
    if (head < 0xa0) return this.list(head & 15, depth);
    if (head < 0xc0) return this.string(head & 31);
    if (head >= 0xe0) return head - 256;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.bin(this.length(1));
      case 0xc5: return this.bin(this.length(2));
      case 0xc6: return this.bin(this.length(4));
      case 0xca: return this.finite(this.view.getFloat32(this.skip(4)));
      case 0xcb: return this.finite(this.view.getFloat64(this.skip(8)));
      case 0xcc: return this.view.getUint8(this.skip(1));
      case 0xcd: return this.view.getUint16(this.skip(2));
      case 0xce: return this.view.getUint32(this.skip(4));
      case 0xcf: return this.safe(this.view.getBigUint64(this.skip(8)));
      case 0xd0: return this.view.getInt8(this.skip(1));
      case 0xd1: return this.view.getInt16(this.skip(2));
      case 0xd2: return this.view.getInt32(this.skip(4));
      case 0xd3: return this.safe(this.view.getBigInt64(this.skip(8)));
      case 0xd9: return this.string(this.length(1));
      case 0xda: return this.string(this.length(2));
      case 0xdb: return this.string(this.length(4));
      case 0xdc: return this.list(this.length(2), depth);
      case 0xdd: return this.list(this.length(4), depth);
      case 0xde: return this.map(this.length(2), depth);
      case 0xdf: return this.map(this.length(4), depth);
      case 0xc1: throw new TexBridgeError(102, "not_msgpack", "byte c1 is not used by msgpack");
      default: throw new TexBridgeError(107, "bad_message", `extension types are not taken (byte ${head})`);
    }
  }

  /** @param {bigint} value */
  safe(value) {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  /** @param {number} value */
  finite(value) {
    if (!Number.isFinite(value)) throw new TexBridgeError(107, "bad_message", `${value} is not finite`);
    return value;
  }

  /** @param {number} count */
  bin(count) {
    const at = this.skip(count);
    return this.bytes.subarray(at, at + count);
  }

  /** @param {number} count */
  string(count) {
    try {
      return text.decode(this.bin(count));
    } catch (error) {
      if (error instanceof TexBridgeError) throw error;
      throw new TexBridgeError(107, "bad_message", "text is not UTF-8");
    }
  }

  /** @param {number} depth @param {number} count */
  enter(depth, count) {
    if (depth > MAX_DEPTH) {
      throw new TexBridgeError(106, "message_too_complex", `maps and lists are more than ${MAX_DEPTH} deep`);
    }
    if (count > MAX_NODES - this.nodes) {
      throw new TexBridgeError(106, "message_too_complex", `more than ${MAX_NODES} keys, values and items`);
    }
  }

  /** @param {number} count @param {number} depth */
  list(count, depth) {
    this.enter(depth, count);
    const items = [];
    for (let place = 0; place < count; place++) items.push(this.value(depth + 1));
    return items;
  }

  /** @param {number} count @param {number} depth */
  map(count, depth) {
    this.enter(depth, 2 * count);
    /** @type {Record<string, any>} */
    const map = Object.create(null);
    for (let place = 0; place < count; place++) {
      let key = this.value(depth + 1);
      if (key instanceof Uint8Array) key = this.textOf(key);
      if (typeof key !== "string") throw new TexBridgeError(107, "bad_message", "a key is not text");
      if (key in map) throw new TexBridgeError(106, "message_too_complex", `key ${key} is there twice`);
      map[key] = this.value(depth + 1);
    }
    return map;
  }

  /** @param {Uint8Array} bytes */
  textOf(bytes) {
    try {
      return text.decode(bytes);
    } catch {
      throw new TexBridgeError(107, "bad_message", "a key is not UTF-8");
    }
  }
}
