// Frames into WebGL2 textures, and a canvas that shows them. No dependencies.
import { TexBridgeError } from "./errors.js";
import { Format, Frame, isEncoded, levels } from "./frames.js";

/** @typedef {{internal: number, layout: number, type: number, view: "u8" | "u16" | "f32"}} Plain */

const NAMES = Object.fromEntries(Object.entries(Format).map(([name, number]) => [number, name]));

/**
 * How WebGL2 takes a format; undefined for one that it doesn't.
 * @param {WebGL2RenderingContext} gl @param {number} format @param {boolean} srgb
 * @returns {Plain | undefined}
 */
function plainFormat(gl, format, srgb) {
  switch (format) {
    case Format.rgba8:
      return { internal: srgb ? gl.SRGB8_ALPHA8 : gl.RGBA8, layout: gl.RGBA, type: gl.UNSIGNED_BYTE, view: "u8" };
    case Format.rgb8:
      return { internal: srgb ? gl.SRGB8 : gl.RGB8, layout: gl.RGB, type: gl.UNSIGNED_BYTE, view: "u8" };
    case Format.r8:
      return { internal: gl.R8, layout: gl.RED, type: gl.UNSIGNED_BYTE, view: "u8" };
    case Format.rgba16f:
      return { internal: gl.RGBA16F, layout: gl.RGBA, type: gl.HALF_FLOAT, view: "u16" };
    case Format.rgba32f:
      return { internal: gl.RGBA32F, layout: gl.RGBA, type: gl.FLOAT, view: "f32" };
    case Format.r16f:
      return { internal: gl.R16F, layout: gl.RED, type: gl.HALF_FLOAT, view: "u16" };
    case Format.r32f:
      return { internal: gl.R32F, layout: gl.RED, type: gl.FLOAT, view: "f32" };
    default:
      return undefined;
  }
}

/**
 * The internal format of a block format, if this browser's GPU has it.
 * @param {WebGL2RenderingContext} gl @param {number} format @param {boolean} srgb
 * @returns {number | undefined}
 */
function blockFormat(gl, format, srgb) {
  if (format === Format.bc7) {
    const bptc = gl.getExtension("EXT_texture_compression_bptc");
    return srgb ? bptc?.COMPRESSED_SRGB_ALPHA_BPTC_UNORM_EXT : bptc?.COMPRESSED_RGBA_BPTC_UNORM_EXT;
  }
  if (format !== Format.bc1 && format !== Format.bc3) return undefined;
  if (srgb) {
    const s3tc = gl.getExtension("WEBGL_compressed_texture_s3tc_srgb");
    return format === Format.bc1 ? s3tc?.COMPRESSED_SRGB_S3TC_DXT1_EXT : s3tc?.COMPRESSED_SRGB_ALPHA_S3TC_DXT5_EXT;
  }
  const s3tc = gl.getExtension("WEBGL_compressed_texture_s3tc");
  return format === Format.bc1 ? s3tc?.COMPRESSED_RGB_S3TC_DXT1_EXT : s3tc?.COMPRESSED_RGBA_S3TC_DXT5_EXT;
}

/** @param {Uint8Array} bytes @param {"u8" | "u16" | "f32"} kind */
function viewOf(bytes, kind) {
  if (kind === "u8") return bytes;
  // The payload begins 16-byte aligned; a level of an odd size may not.
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  return kind === "u16"
    ? new Uint16Array(buffer, byteOffset, byteLength / 2)
    : new Float32Array(buffer, byteOffset, byteLength / 4);
}

/**
 * A WebGL2 texture that holds a stream's newest picture. It is made anew only when size, format or mip levels change.
 * Texture coordinate v = 0 is the first row of the frame: the lowest, if you subscribed with `bottom_left`.
 */
export class StreamTexture {
  /**
   * @param {WebGL2RenderingContext} gl
   * @param {{srgb?: boolean}} [options] `srgb`: the GPU decodes sRGB when it samples, for lighting; without it the
   *   shader gets the numbers as they are, which is right for a plain canvas
   */
  constructor(gl, options = {}) {
    this.gl = gl;
    this.srgb = options.srgb === true;
    /** @type {WebGLTexture | null} */
    this.texture = null;
    this.width = 0;
    this.height = 0;
    this.format = 0;
    this.mips = 0;
    this.bottomLeft = false;
    this.internal = 0;
  }

  /**
   * Uploads a frame. Gives true if the texture was made anew.
   * Throws TexBridgeError 306 for a format that WebGL2, or this GPU, doesn't take; use `uploadFile` for jpeg and png.
   * @param {Frame} frame
   */
  upload(frame) {
    const { gl } = this;
    const srgb = this.srgb && !frame.linear;
    const plain = plainFormat(gl, frame.format, srgb);
    const internal = plain?.internal ?? blockFormat(gl, frame.format, srgb);
    if (internal === undefined) {
      const name = NAMES[frame.format] ?? `number ${frame.format}`;
      const instead = isEncoded(frame.format) ? "uploadFile takes it" : "subscribe with rgba8";
      throw new TexBridgeError(306, "unsupported_format", `WebGL2 has no texture for ${name} here: ${instead}`);
    }
    const anew = this.prepare(frame, internal);
    const unpack = this.unpack();
    for (const { level, width, height, at, bytes } of levels(frame)) {
      const data = frame.payload.subarray(at, at + bytes);
      if (plain) {
        const pixels = viewOf(data, plain.view);
        gl.texSubImage2D(gl.TEXTURE_2D, level, 0, 0, width, height, plain.layout, plain.type, pixels);
      } else {
        gl.compressedTexSubImage2D(gl.TEXTURE_2D, level, 0, 0, width, height, internal, data);
      }
    }
    unpack();
    return anew;
  }

  /**
   * Uploads a jpeg or png frame, decoded by the browser beside the page's own thread. Always its uppermost row first.
   * @param {Frame} frame
   */
  async uploadFile(frame) {
    const type = frame.format === Format.png ? "image/png" : "image/jpeg";
    const blob = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (frame.payload)], { type });
    const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
    const { gl } = this;
    const internal = this.srgb ? gl.SRGB8_ALPHA8 : gl.RGBA8;
    const anew = this.prepare({ ...frame, bottomLeft: false, mips: 1 }, internal);
    const unpack = this.unpack();
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, frame.width, frame.height, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    unpack();
    bitmap.close();
    return anew;
  }

  /**
   * @param {{width: number, height: number, mips: number, format: number, bottomLeft: boolean}} frame
   * @param {number} internal
   */
  prepare(frame, internal) {
    const { gl } = this;
    const { width, height, mips } = frame;
    this.bottomLeft = frame.bottomLeft;
    this.format = frame.format;
    const fits = this.width === width && this.height === height && this.mips === mips && this.internal === internal;
    if (this.texture !== null && fits) {
      gl.bindTexture(gl.TEXTURE_2D, this.texture);
      return false;
    }
    this.dispose();
    this.texture = gl.createTexture();
    [this.width, this.height, this.mips, this.internal] = [width, height, mips, internal];
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    const floats = internal === gl.RGBA32F || internal === gl.R32F;
    const smooth = !floats || gl.getExtension("OES_texture_float_linear") ? gl.LINEAR : gl.NEAREST;
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, smooth);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, mips > 1 ? gl.LINEAR_MIPMAP_LINEAR : smooth);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.texStorage2D(gl.TEXTURE_2D, mips, internal, width, height);
    return true;
  }

  /** Tight rows, nothing turned or multiplied; gives what puts the page's own settings back. */
  unpack() {
    const { gl } = this;
    const wanted = /** @type {[number, number | boolean][]} */ ([
      [gl.UNPACK_ALIGNMENT, 1],
      [gl.UNPACK_FLIP_Y_WEBGL, false],
      [gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false],
      [gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE],
    ]);
    const before = wanted.map(([name]) => /** @type {[number, any]} */ ([name, gl.getParameter(name)]));
    for (const [name, value] of wanted) gl.pixelStorei(name, value);
    return () => {
      for (const [name, value] of before) gl.pixelStorei(name, value);
    };
  }

  /** Gives the texture back. */
  dispose() {
    if (this.texture !== null) this.gl.deleteTexture(this.texture);
    this.texture = null;
  }
}

const VERTEX = `#version 300 es
out vec2 place;
uniform bool bottomLeft;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  place = vec2(corner.x, bottomLeft ? corner.y : 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;
uniform sampler2D picture;
uniform bool gray;
out vec4 color;
void main() {
  vec4 texel = texture(picture, place);
  color = vec4((gray ? texel.rrr : texel.rgb) * texel.a, texel.a);
}`;
/** @type {Set<number>} */
const GRAY = new Set([Format.r8, Format.r16f, Format.r32f]);

/** Shows pictures on a canvas of its own, which gets their size. */
export class StreamView {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false });
    if (gl === null) throw new Error("this browser has no WebGL2");
    this.gl = gl;
    this.texture = new StreamTexture(gl);
    /** @type {Frame | null} */
    this.last = null;
    this.setUp();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.texture = new StreamTexture(gl);
      this.setUp();
      if (this.last !== null) void this.show(this.last);
    });
  }

  setUp() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of /** @type {[number, string][]} */ ([
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(type));
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`the shader: ${gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    this.uniforms = { bottomLeft: gl.getUniformLocation(program, "bottomLeft"), gray: gl.getUniformLocation(program, "gray") };
  }

  /** Shows a frame. @param {Frame} frame */
  async show(frame) {
    const { gl, canvas, texture } = this;
    this.last = frame;
    if (gl.isContextLost()) return;
    if (isEncoded(frame.format)) await texture.uploadFile(frame);
    else texture.upload(frame);
    if (canvas.width !== texture.width) canvas.width = texture.width;
    if (canvas.height !== texture.height) canvas.height = texture.height;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.bindTexture(gl.TEXTURE_2D, texture.texture);
    gl.uniform1i(this.uniforms?.bottomLeft ?? null, texture.bottomLeft ? 1 : 0);
    gl.uniform1i(this.uniforms?.gray ?? null, GRAY.has(frame.format) ? 1 : 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}
