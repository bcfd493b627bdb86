// What the engine link says, as bytes: msgpack, frames and parts. Written from protocols/; no dependencies.
// Field names are those of the pages in protocols/, letter by letter. A u64 is a number up to 2^53-1, a BigInt above.

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

const MAX_DEPTH = 16;
const MAX_NODES = 65536;
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @param {DataView} view @param {number} at @returns {number | bigint} */
function readU64(view, at) {
  const value = view.getBigUint64(at, true);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

// --- msgpack: the part of it that the link uses -------------------------------------------------------------------

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

// --- frames -------------------------------------------------------------------------------------------------------

/** Flags of a frame, as bit masks. */
export const Flag = Object.freeze({
  PREVIEW: 1,
  LAST_SET: 2,
  HELD: 4,
  BOTTOM_LEFT: 8,
  LINEAR: 16,
  PREMULTIPLIED: 32,
  LAST_OF_SET: 64,
  SHARED_MEMORY: 128,
});

/** Numbers of the pixel formats. */
export const Format = Object.freeze({
  rgba8: 1, bgra8: 2, rgb8: 3, r8: 4, rgba16f: 5, rgba32f: 6, r16: 7, r16f: 8, r32f: 9,
  bc1: 16, bc3: 17, bc7: 18, jpeg: 64, png: 65,
});

/** @type {Record<number, number>} */
const PIXEL_BYTES = { 1: 4, 2: 4, 3: 3, 4: 1, 5: 8, 6: 16, 7: 2, 8: 2, 9: 4 };
/** @type {Record<number, number>} */
const BLOCK_BYTES = { 16: 8, 17: 16, 18: 16 };

/** Whether frames of this format hold a file. @param {number} format */
export const isEncoded = (format) => format === Format.jpeg || format === Format.png;

/**
 * Bytes of one row (of pixels or of blocks) and of the whole of one level; undefined for formats without a geometry.
 * @param {number} format @param {number} width @param {number} height
 * @returns {{pitch: number, bytes: number} | undefined}
 */
export function levelBytes(format, width, height) {
  const pixel = PIXEL_BYTES[format];
  if (pixel !== undefined) return { pitch: width * pixel, bytes: width * pixel * height };
  const block = BLOCK_BYTES[format];
  if (block === undefined) return undefined;
  const pitch = Math.ceil(width / 4) * block;
  return { pitch, bytes: pitch * Math.ceil(height / 4) };
}

/** One texture: the fields of its header by their names in frame.md, and `payload`, a view of the message. */
export class Frame {
  /** @param {Uint8Array} message @param {DataView} view @param {number} headerBytes */
  constructor(message, view, headerBytes) {
    this.header_bytes = headerBytes;
    this.flags = view.getUint16(6, true);
    this.stream = view.getUint32(8, true);
    this.number = view.getUint32(12, true);
    this.request = readU64(view, 16);
    this.index = view.getUint32(24, true);
    this.output = view.getUint8(28);
    this.mips = view.getUint8(29);
    this.format = view.getUint16(30, true);
    this.width = view.getUint32(32, true);
    this.height = view.getUint32(36, true);
    this.row_pitch = view.getUint32(40, true);
    this.payload_bytes = view.getUint32(44, true);
    this.client_time = readU64(view, 48);
    this.comfy_us = view.getUint32(56, true);
    this.bridge_us = view.getUint32(60, true);
    /** @type {number | undefined} of a doorbell alone, which no browser is sent */
    this.slot = undefined;
    /** @type {number | bigint | undefined} */
    this.seq = undefined;
    this.payload = message.subarray(headerBytes);
  }
  get preview() { return (this.flags & Flag.PREVIEW) !== 0; }
  get lastSet() { return (this.flags & Flag.LAST_SET) !== 0; }
  get held() { return (this.flags & Flag.HELD) !== 0; }
  get bottomLeft() { return (this.flags & Flag.BOTTOM_LEFT) !== 0; }
  get linear() { return (this.flags & Flag.LINEAR) !== 0; }
  get premultiplied() { return (this.flags & Flag.PREMULTIPLIED) !== 0; }
  get lastOfSet() { return (this.flags & Flag.LAST_OF_SET) !== 0; }
}

/**
 * Gives the frame or doorbell of a message. Throws TexBridgeError 103 `bad_frame`: drop the message, go on.
 * @param {Uint8Array} message
 * @returns {Frame}
 */
export function decodeFrame(message) {
  if (message.length < 64) bad(`${message.length} bytes, a header has 64`);
  if (message[0] !== 0x54 || message[1] !== 0x58 || message[2] !== 0x42 || message[3] !== 0x31) bad("no magic TXB1");
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const headerBytes = view.getUint16(4, true);
  const doorbell = (view.getUint16(6, true) & Flag.SHARED_MEMORY) !== 0;
  const least = doorbell ? 80 : 64;
  if (headerBytes < least || headerBytes % 16 !== 0 || headerBytes > message.length) {
    bad(`header_bytes ${headerBytes} of ${message.length}, must be ${least} or more and a multiple of 16`);
  }
  const frame = new Frame(message, view, headerBytes);
  if (frame.payload.length !== (doorbell ? 0 : frame.payload_bytes)) {
    bad(`payload_bytes ${frame.payload_bytes}, ${frame.payload.length} follow`);
  }
  checkGeometry(frame);
  if (doorbell) {
    frame.slot = view.getUint32(64, true);
    frame.seq = readU64(view, 72);
    if (BigInt(frame.seq) % 2n !== 0n) bad(`seq ${frame.seq} is odd`);
  }
  return frame;
}

/** @param {Frame} frame */
function checkGeometry(frame) {
  const { format, width, height, mips } = frame;
  if (width === 0 || height === 0 || mips === 0) bad(`${width} x ${height}, ${mips} mips: all must be 1 or more`);
  if (isEncoded(format)) {
    if (frame.row_pitch !== 0 || mips !== 1 || frame.bottomLeft || frame.payload_bytes === 0) {
      bad("a file has row_pitch 0, one mip, its first row on top, and bytes");
    }
    return;
  }
  const first = levelBytes(format, width, height);
  if (first === undefined) return; // a later version's format: whoever wants the pixels decides
  if (2 ** (mips - 1) > Math.max(width, height)) bad(`${mips} mips are too many for ${width} x ${height}`);
  if (frame.row_pitch !== first.pitch) bad(`row_pitch ${frame.row_pitch}, must be ${first.pitch}`);
  let bytes = 0;
  for (const level of levels(frame)) bytes += level.bytes;
  if (frame.payload_bytes !== bytes) bad(`payload_bytes ${frame.payload_bytes}, must be ${bytes}`);
}

/**
 * Gives width, height, bytes and place in the payload of each mip level, largest first.
 * @param {{format: number, width: number, height: number, mips: number}} frame
 */
export function* levels(frame) {
  let { width, height } = frame;
  let at = 0;
  for (let level = 0; level < frame.mips; level++) {
    const bytes = /** @type {{bytes: number}} */ (levelBytes(frame.format, width, height)).bytes;
    yield { level, width, height, at, bytes };
    at += bytes;
    width = Math.max(1, width >>> 1);
    height = Math.max(1, height >>> 1);
  }
}

/** @param {string} why @returns {never} */
function bad(why) {
  throw new TexBridgeError(103, "bad_frame", why);
}

// --- parts --------------------------------------------------------------------------------------------------------

/** Puts large messages together that came in parts. After an error the connection is lost: the sides don't agree. */
export class PartAssembler {
  /** @param {number} maxTotalBytes what one message may have */
  constructor(maxTotalBytes) {
    this.maxTotalBytes = maxTotalBytes;
    /** @type {Uint8Array<ArrayBuffer> | null} */
    this.whole = null;
    this.message = 0;
    this.part = 0;
    this.parts = 0;
    this.size = 0;
    this.at = 0;
  }

  /**
   * Takes the next part; gives the whole message, or null while there is more to come.
   * Throws TexBridgeError 104 `bad_part` or 105 `message_too_large`.
   * @param {Uint8Array} bytes
   * @returns {Uint8Array<ArrayBuffer> | null}
   */
  feed(bytes) {
    if (bytes.length < 32 || bytes[0] !== 0x54 || bytes[1] !== 0x58 || bytes[2] !== 0x42 || bytes[3] !== 0x50) {
      badPart("no header of 32 bytes that begins with TXBP");
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const headerBytes = view.getUint16(4, true);
    if (headerBytes < 32 || headerBytes >= bytes.length) badPart(`header_bytes ${headerBytes} of ${bytes.length}`);
    const [message, part, parts, offset, total] = [8, 12, 16, 20, 24].map((at) => view.getUint32(at, true));
    const data = bytes.subarray(headerBytes);
    if (this.whole === null) {
      if (total > this.maxTotalBytes) {
        throw new TexBridgeError(105, "message_too_large", `${total} bytes in parts, at most ${this.maxTotalBytes}`);
      }
      if (part !== 0 || offset !== 0 || parts !== Math.ceil(total / data.length)) {
        badPart(`a message begins with part ${part} of ${parts}, offset ${offset}, ${data.length} of ${total} bytes`);
      }
      this.whole = new Uint8Array(total);
      [this.message, this.parts, this.size, this.part, this.at] = [message, parts, data.length, 0, 0];
    }
    const whole = this.whole;
    const last = part === this.parts - 1;
    if (message !== this.message || parts !== this.parts || total !== whole.length) badPart("another message's part");
    if (part !== this.part || offset !== this.at) badPart(`part ${part} at ${offset}, expected ${this.part} at ${this.at}`);
    if (data.length !== (last ? whole.length - this.at : this.size)) badPart(`part ${part} has ${data.length} bytes`);
    whole.set(data, this.at);
    this.part += 1;
    this.at += data.length;
    if (!last) return null;
    this.whole = null;
    if (isPart(whole)) badPart("parts make a part");
    return whole;
  }
}

/** Whether a message is a part of a larger one. @param {Uint8Array} message */
export const isPart = (message) =>
  message[0] === 0x54 && message[1] === 0x58 && message[2] === 0x42 && message[3] === 0x50;

/** Whether a message is a frame, part or doorbell, and no map. @param {Uint8Array} message */
export const isBinary = (message) => message[0] === 0x54 && message[1] === 0x58;

/** @param {string} why @returns {never} */
function badPart(why) {
  throw new TexBridgeError(104, "bad_part", why);
}
