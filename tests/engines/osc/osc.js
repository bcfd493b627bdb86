// osc.js (npm `osc`) on Node: `send HOST PORT PACKETS` sends a JSON list of packets and ends; `hear HOST PORT` asks the
// bridge for answers and prints each message as a line of JSON. NODE_PATH names the folder of the package.
const osc = require("osc");

const [verb, host, port, packets] = process.argv.slice(2);
const door = new osc.UDPPort({
  localAddress: "127.0.0.1",
  localPort: 0,
  remoteAddress: host,
  remotePort: Number(port),
  metadata: verb === "hear",
});
door.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
// JSON has no bytes and no 64-bit numbers: {"bytes": [..]} and {"long": "..."} stand for them.
const revive = (_, value) => {
  if (value && value.bytes) return Uint8Array.from(value.bytes);
  if (value && value.long) return osc.Long.fromString(value.long, true);
  return value;
};
door.on("ready", () => {
  if (verb === "hear") {
    const own = door.socket.address().port;
    door.on("message", (message) => console.log(JSON.stringify(message)));
    door.send({ address: "/texbridge/reply", args: [{ type: "i", value: own }] });
    process.stdin.on("end", () => door.close()).resume();
    return;
  }
  for (const packet of JSON.parse(packets, revive)) door.send(packet);
  // The socket is closed when all is handed to the system: dgram keeps the order.
  door.socket.send("", 0, 0, Number(port), host, () => door.close());
});
door.open();
