// What tests/engines/test_browser.py asks of a page: a link, a subscription, and pixels read back from the texture.
import { StreamTexture, StreamView, TexBridge } from "/web/texbridge.js";

const gl = document.querySelector("canvas").getContext("webgl2");
const texture = new StreamTexture(gl);
let link = null;
let pictures = null;
let waiting = null;
let slow = null;
const seen = [];

function text(error) {
  return { name: error.name, code: error.code ?? 0, message: error.message };
}

async function connect(url, options) {
  link = new TexBridge(url, options);
  link.addEventListener("state", ({ detail }) => seen.push(detail.state));
  return new Promise((resolve) => {
    link.addEventListener("welcome", ({ detail }) => resolve({ boot: detail.boot, resumed: detail.resumed }), { once: true });
    link.addEventListener("state", ({ detail }) => {
      if (detail.state === "closed" || detail.state === "waiting") resolve(text(detail.error));
    });
  });
}

async function subscribe(stream, fields) {
  pictures?.close();
  pictures = await link.subscribe(stream, fields);
  return { number: pictures.number, format: pictures.subscribed.format };
}

/** The texture's bytes: rows from texture coordinate v = 0. Floats are read as floats. */
function readTexture(level = 0) {
  const float = texture.format === 5 || texture.format === 6;
  gl.getExtension("EXT_color_buffer_float");
  const width = Math.max(1, texture.width >> level);
  const height = Math.max(1, texture.height >> level);
  const target = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, target);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture.texture, level);
  const pixels = float ? new Float32Array(width * height * 4) : new Uint8Array(width * height * 4);
  gl.pixelStorei(gl.PACK_ALIGNMENT, 1);
  gl.readPixels(0, 0, width, height, gl.RGBA, float ? gl.FLOAT : gl.UNSIGNED_BYTE, pixels);
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  gl.deleteFramebuffer(target);
  const error = gl.getError();
  if (error !== 0) throw new Error(`WebGL error ${error}`);
  return new Uint8Array(pixels.buffer);
}

async function hex(bytes) {
  return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), (b) => b.toString(16).padStart(2, "0")).join("");
}

async function base64(bytes) {
  const url = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(new Blob([bytes]));
  });
  return url.split(",")[1];
}

async function nextOf(request) {
  for (;;) {
    const set = await pictures.next();
    if (request === undefined || (set.request === request && !set.held)) return set;
  }
}

async function upload(frame) {
  return frame.format >= 64 ? texture.uploadFile(frame) : texture.upload(frame);
}

/** Asks for one picture and gives what is in the texture then. */
async function picture(stream, params, fields) {
  const request = await link.run(stream, params, fields);
  const set = await nextOf(request.request);
  const frame = set.frame();
  const anew = await upload(frame);
  const finished = await request.finished;
  const { width, height, flags, format, number, mips } = frame;
  const head = { width, height, flags, format, number, mips, anew, outcome: finished.outcome, seed: String(finished.seed) };
  return { ...head, pixels: await base64(readTexture()) };
}

/** The held picture that a subscription begins with. */
async function held() {
  const set = await pictures.next();
  await upload(set.frame());
  return { held: set.held, number: set.number, pixels: await base64(readTexture()) };
}

/** Many pictures, one after the other: the digest of the texture after each. */
async function digests(stream, many) {
  const found = [];
  for (const params of many) {
    const request = await link.run(stream, params);
    const set = await nextOf(request.request);
    texture.upload(set.frame());
    found.push(await hex(readTexture()));
  }
  return found;
}

/** Cuts the link as a network would, and waits for the next welcome. */
function cut() {
  const again = new Promise((resolve) => {
    link.addEventListener("welcome", ({ detail }) => resolve({ resumed: detail.resumed, boot: detail.boot }), { once: true });
  });
  link.socket.close();
  return again;
}

/** Waits for the next welcome: begun before the bridge is killed, asked for afterwards. */
function expectWelcome() {
  waiting = new Promise((resolve) => {
    link.addEventListener("welcome", ({ detail }) => resolve({ resumed: detail.resumed, boot: detail.boot }), { once: true });
  });
}

/** A picture as the view draws it: rows from the top. */
async function drawn(stream, params) {
  const request = await link.run(stream, params);
  const set = await nextOf(request.request);
  const view = new StreamView(document.createElement("canvas"));
  await view.show(set.frame());
  const pixels = new Uint8Array(view.canvas.width * view.canvas.height * 4);
  view.gl.readPixels(0, 0, view.canvas.width, view.canvas.height, view.gl.RGBA, view.gl.UNSIGNED_BYTE, pixels);
  const error = view.gl.getError();
  if (error !== 0) throw new Error(`WebGL error ${error}`);
  return { width: view.canvas.width, height: view.canvas.height, pixels: await base64(pixels) };
}

async function failing(work) {
  try {
    await work();
  } catch (error) {
    return text(error);
  }
  return null;
}

globalThis.page = {
  connect, subscribe, picture, drawn, held, digests, cut, expectWelcome,
  open: (...words) => link.open(...words),
  set: (stream, params) => link.set(stream, params),
  describe: (what) => link.describe(what),
  welcomed: () => waiting,
  extensions: () => gl.getSupportedExtensions(),
  mip: async (level) => base64(readTexture(level)),
  runFails: (stream, params) => failing(() => link.run(stream, params)),
  slow: async (stream, params) => {
    slow = link.run(stream, params).then((request) => request.finished);
    slow.catch(() => {});
  },
  slowOutcome: () => slow.then((message) => message.outcome, text),
  // a run that is sent and whose answer the page never sees: the cut is in the same turn
  runAndCut: async (stream, params) => {
    const request = link.run(stream, params);
    link.socket.close();
    const finished = await (await request).finished;
    return { outcome: finished.outcome, request: finished.request };
  },
  // a run whose answer is lost with the connection: the bridge has written it, and the page has not read it
  runAndLose: async (stream, params) => {
    link.takeFinished = () => {
      delete link.takeFinished;
      link.socket.close();
    };
    const request = await link.run(stream, params);
    const finished = await request.finished;
    return { outcome: finished.outcome, same: finished.request === request.request };
  },
  image: (stream, param, width, height, rgba) => {
    const data = new ImageData(width, height);
    for (let at = 0; at < data.data.length; at += 4) data.data.set(rgba, at);
    data.data.set([255, 0, 0, 255], 0); // the upper left pixel
    return link.image(stream, param, data);
  },
  missed: () => pictures.missed,
  states: () => seen.splice(0),
  close: () => {
    pictures?.close();
    pictures = null;
    link?.close();
    link = null;
  },
};
