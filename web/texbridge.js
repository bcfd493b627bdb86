// Live ComfyUI pictures in a web page: the engine link of a texbridge, and its pictures as WebGL2 textures.
//
//   import { StreamView, TexBridge } from "./texbridge.js";
//
//   const link = await TexBridge.connect("ws://127.0.0.1:9401/link");
//   const pictures = await link.subscribe("main");
//   const view = new StreamView(document.querySelector("canvas"));
//   requestAnimationFrame(function draw() {
//     const set = pictures.take();
//     if (set !== null) view.show(set.frame());
//     requestAnimationFrame(draw);
//   });
//   link.set("main", { top_left: [1, 0.3, 0] });
//
// No dependencies, no build step. README.md beside it tells how a page is let in.
export { LinkLostError, TexBridgeError } from "./errors.js";
export { decodeFrame, Flag, Format, Frame, isEncoded, levelBytes, levels, PartAssembler } from "./frames.js";
export { TexBridge } from "./link.js";
export { decodeMessage, encodeMessage } from "./messages.js";
export { Request } from "./request.js";
export { FrameSet, Subscription } from "./subscription.js";
export { StreamTexture, StreamView } from "./texture.js";
