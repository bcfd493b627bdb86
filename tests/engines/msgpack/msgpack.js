// Packs a list of messages with one of npm's msgpack libraries, and reads what the bridge answered.
//   pack LIBRARY       prints {name: hex} of the messages below
//   unpack LIBRARY     reads lines of hex, prints each as JSON
const library = process.argv[3];
const made = require(library);
const pack =
  library === "msgpackr" ? (value) => made.pack(value) : (value) => Buffer.from(made.encode(value, { ignoreUndefined: false }));
const floats = new (require("msgpackr").Packr)({ useFloat32: 3, useRecords: false });

const params = { noise: 0.25, top_left: [1, 0.5, 0] };
const messages = {
  plain: { op: "set", id: 1, stream: "main", params },
  large_ids: { op: "set", id: 2 ** 40, stream: "main", params, client_time: 2 ** 45 },
  whole_numbers: { op: "set", id: 3, stream: "main", params: { noise: 0, top_left: [1, 0, 1] } },
  absent_fields: { op: "run", id: 4, stream: "main", params: null, key: null, deadline_ms: null },
  undefined_fields: { op: "run", id: 11, stream: "main", params: undefined },
  big_seed: { op: "run", id: 5, stream: "main", seed: 2n ** 64n - 1n },
  dates: { op: "set", id: 6, stream: "main", params: { prompt: new Date(0) } },
  text: { op: "set", id: 7, stream: "main", params: { prompt: "é 猫 🦊" } },
  bytes: { op: "set", id: 8, stream: "main", params: { prompt: Buffer.from("as bin") } },
  numbered: ["set", 9, null, "main"],
};

if (process.argv[2] === "pack") {
  const found = {};
  for (const [name, message] of Object.entries(messages)) {
    // @msgpack/msgpack takes BigInt only when it is told to.
    if (name === "big_seed" && library !== "msgpackr") {
      found[name] = Buffer.from(made.encode(message, { useBigInt64: true })).toString("hex");
    } else found[name] = pack(message).toString("hex");
  }
  if (library === "msgpackr") found.float32 = floats.pack({ ...messages.plain, id: 10 }).toString("hex");
  console.log(JSON.stringify(found));
} else {
  const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
  const unpack = library === "msgpackr" ? made.unpack : made.decode;
  for (const line of lines) {
    const value = unpack(Buffer.from(line, "hex"));
    console.log(JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner)));
  }
}
