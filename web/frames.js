// Frames, and the parts in which large messages come. Written from protocols/frame.md; no dependencies.
import { TexBridgeError } from "./errors.js";

/** @param {DataView} view @param {number} at @returns {number | bigint} */
function readU64(view, at) {
  const value = view.getBigUint64(at, true);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

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
