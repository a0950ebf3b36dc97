// `node read.mjs CASE.json`: reads one index through, and prints what it took and what was found as a line of JSON.
//
// Each reading has a process of its own, since a module's memory never becomes less.
import { readFileSync, openSync, readSync, closeSync } from "node:fs";

const PIECE_BYTES = 65536;
const one = JSON.parse(readFileSync(process.argv[2], "utf8"));
const wasm = await import("./index.js");

const file = openSync(one.path);
const piece = new Uint8Array(PIECE_BYTES);
const memoryBefore = wasm.memory_bytes();
const before = process.cpuUsage();
const reader = new wasm.Reader(
  one.kind, one.packing, one.digest, one.size, one.openDigest, one.openSize, one.wanted.join("\n"));
for (;;) {
  const length = readSync(file, piece);
  if (length === 0 || !reader.feed(piece.subarray(0, length))) break;
}
const found = reader.finish().trim().split("\n").filter(Boolean);
const used = process.cpuUsage(before);
closeSync(file);
console.log(JSON.stringify({
  cpuSeconds: (used.user + used.system) / 1e6,
  memoryGrowthBytes: wasm.memory_bytes() - memoryBefore,
  found,
}));
