// Reads the vectors of protocols/vectors in the page, by the format that their README tells.
import { TexBridgeError } from "/web/errors.js";
import { decodeFrame, PartAssembler } from "/web/frames.js";
import { decodeMessage, encodeMessage } from "/web/messages.js";

/** A number that was written with a point: canonical bytes of it are a float's. */
class Float {
  constructor(value) {
    this.value = value;
  }
}

function readValue(text) {
  if (text.startsWith("h'")) return fromHex(text.slice(2, -1));
  if (/^-?\d+$/.test(text)) return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
  const value = JSON.parse(text);
  return typeof value === "number" ? new Float(value) : value;
}

function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function parse(name, text) {
  const vector = { name, error: null, canonical: false, direction: "", cuts: [], limits: {}, values: {}, items: [[]] };
  let expected = false;
  for (const line of text.split("\n")) {
    let match;
    if (line.startsWith("#: ")) {
      const directive = line.slice(3);
      if (directive.startsWith("shows ")) continue;
      if (directive === "expect ok") expected = true;
      else if ((match = /^expect error (\d+) (\w+)$/.exec(directive))) {
        vector.error = { code: Number(match[1]), name: match[2] };
        expected = true;
      } else if (directive === "canonical") vector.canonical = true;
      else if ((match = /^direction (engine|bridge)$/.exec(directive))) vector.direction = match[1];
      else if (directive === "reader bridge") vector.reader = "bridge";
      else if ((match = /^cut (.*)$/.exec(directive))) vector.cuts = match[1].split(" ").map(Number);
      else if ((match = /^limit (\w+) = (\d+)$/.exec(directive))) vector.limits[match[1]] = Number(match[2]);
      else if ((match = /^([\w.]+) = (.+)$/.exec(directive))) vector.values[match[1]] = readValue(match[2]);
      else throw new Error(`${name}: unknown directive ${line}`);
    } else if (line.trim() === "---") {
      vector.items.push([]);
    } else {
      for (const [token, quoted, hex, times] of line.matchAll(/"([^"]*)"|#.*|((?:[0-9a-f]{2})+)(?:\*(\d+))?|\S+/g)) {
        if (token.startsWith("#")) break;
        const item = vector.items.at(-1);
        if (quoted !== undefined) item.push(...new TextEncoder().encode(quoted));
        else if (hex !== undefined) for (let n = Number(times ?? 1); n > 0; n--) item.push(...fromHex(hex));
        else throw new Error(`${name}: ${token} is neither hex nor text`);
      }
    }
  }
  if (!expected) throw new Error(`${name}: no 'expect'`);
  vector.items = vector.items.map((item) => Uint8Array.from(item));
  return vector;
}

function plain(value) {
  return value instanceof Float ? value.value : value;
}

/** Equal as the README has it; bytes by their content, and bin where text is meant. */
function same(found, wanted) {
  wanted = plain(wanted);
  if (found instanceof Uint8Array && typeof wanted === "string") found = new TextDecoder().decode(found);
  if (found instanceof Uint8Array && wanted instanceof Uint8Array) {
    return found.length === wanted.length && found.every((byte, place) => byte === wanted[place]);
  }
  if (typeof wanted === "object" && wanted !== null && Object.keys(wanted).length === 0) {
    return Array.isArray(found) === Array.isArray(wanted) && Object.keys(found).length === 0;
  }
  return found === wanted;
}

function look(value, path) {
  if (path.endsWith(".bytes")) return look(value, path.slice(0, -6))?.length;
  return path.split(".").reduce((inner, key) => inner?.[key], value);
}

function leaves(value, path = "") {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object" || value instanceof Uint8Array || Object.keys(value).length === 0) return [path];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path ? `${path}.${key}` : key));
}

function compare(found, values) {
  for (const [path, wanted] of Object.entries(values)) {
    const got = look(found, path);
    if (!same(got, wanted)) return `${path} is ${String(got)}, not ${String(plain(wanted))}`;
  }
  return null;
}

/** Decoding must throw our own error, with this code. */
function refuses(decode, error) {
  try {
    decode();
  } catch (thrown) {
    if (!(thrown instanceof TexBridgeError)) return `threw ${thrown.stack}`;
    return thrown.code === error.code && thrown.name === error.name ? null : `error ${thrown.code}, not ${error.code}`;
  }
  return "was not refused";
}

function nest(values) {
  const tree = {};
  for (const [path, leaf] of Object.entries(values)) {
    const keys = path.split(".");
    const last = keys.pop();
    let node = tree;
    for (const key of keys) node = node[key] ??= {};
    node[last] = plain(leaf);
  }
  const lists = (node) => {
    if (typeof node !== "object" || node === null || node instanceof Uint8Array || Array.isArray(node)) return node;
    const keys = Object.keys(node);
    const inner = keys.map((key) => lists(node[key]));
    if (keys.length && keys.every((key, place) => key === String(place))) return inner;
    return Object.fromEntries(keys.map((key, place) => [key, inner[place]]));
  };
  return lists(tree);
}

const families = {
  frame(vector) {
    const [item] = vector.items;
    if (vector.error === null) return compare(decodeFrame(item), vector.values);
    if (vector.cuts.length === 0) return refuses(() => decodeFrame(item), vector.error);
    decodeFrame(item);
    return vector.cuts.map((cut) => refuses(() => decodeFrame(item.slice(0, cut)), vector.error)).find(Boolean) ?? null;
  },

  part(vector) {
    const feed = (items) => {
      const parts = new PartAssembler(vector.limits.max_total_bytes ?? 2 ** 26);
      return items.map((item) => parts.feed(item));
    };
    if (vector.error === null) return compare({ after: feed(vector.items) }, vector.values);
    if (vector.cuts.length === 0) return refuses(() => feed(vector.items), vector.error);
    feed(vector.items);
    const cut = (length) => refuses(() => feed([vector.items[0].slice(0, length)]), vector.error);
    return vector.cuts.map(cut).find(Boolean) ?? null;
  },

  message(vector) {
    const [item] = vector.items;
    if (vector.error !== null) {
      if (vector.cuts.length === 0) return refuses(() => decodeMessage(item), vector.error);
      decodeMessage(item);
      return vector.cuts.map((cut) => refuses(() => decodeMessage(item.slice(0, cut)), vector.error)).find(Boolean) ?? null;
    }
    const found = decodeMessage(item);
    const problem = compare(found, vector.values);
    if (problem) return problem;
    if (vector.canonical) {
      const extra = leaves(found).filter((path) => !(path in vector.values) && !(`${path}.bytes` in vector.values));
      if (extra.length) return `has more than the vector says: ${extra}`;
    }
    return null;
  },
};

/** Writes the values of a canonical message: as many bytes, and read again the same values. */
function written(vector) {
  const bytes = encodeMessage(nest(vector.values));
  if (bytes.length !== vector.items[0].length) return `${bytes.length} bytes, not ${vector.items[0].length}`;
  return compare(decodeMessage(bytes), vector.values);
}

async function load(family, name) {
  const answer = await fetch(`/vectors/${family}/${name}.hex`);
  if (!answer.ok) throw new Error(`${family}/${name}: HTTP ${answer.status}`);
  return parse(name, await answer.text());
}

/** {name: null or what is wrong} of each vector of a family. */
export async function read(family, names) {
  const found = {};
  for (const name of names) {
    try {
      found[name] = families[family](await load(family, name));
    } catch (error) {
      found[name] = String(error.stack ?? error);
    }
  }
  return found;
}

/** The same of writing, for each message that is canonical and an engine's. */
export async function write(names) {
  const found = {};
  for (const name of names) {
    const vector = await load("message", name);
    if (!vector.canonical || vector.direction !== "engine") continue;
    try {
      found[name] = written(vector);
    } catch (error) {
      found[name] = String(error.stack ?? error);
    }
  }
  return found;
}

globalThis.vectors = { read, write };
