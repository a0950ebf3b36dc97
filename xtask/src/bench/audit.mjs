// Writes an audit of many rows, its signed head and the key, by the documentation of the bytes alone: it shares no code with
// what checks them. Usage: node audit.mjs FOLDER ROWS

import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { createWriteStream, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";

const [folder, rows] = [process.argv[2], Number(process.argv[3])];
const START_MS = Date.UTC(2026, 10, 23);
const ACTIONS = ["planned", "declared", "staged", "approved", "releasing", "released"];

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const netstring = (text) => `${Buffer.byteLength(text)}:${text},`;

const out = createWriteStream(join(folder, "audit.ndjson"));
let previous = "0".repeat(64);
let piece = "";
for (let sequence = 1; sequence <= rows; sequence += 1) {
  const at_ms = START_MS + sequence * 700;
  const subject = `17.${sequence >> 10}.0/ee-ubuntu-jammy-amd64`;
  const action = ACTIONS[sequence % ACTIONS.length];
  const actor = action === "approved" ? "user:mira" : `job:${sequence} user:mira`;
  const details = JSON.stringify({ digest: `sha256:${sha256(subject)}`, distro: "ubuntu/jammy", job: sequence });
  const fields = ["slipway-audit-v1", String(sequence), String(at_ms), actor, action, subject, details, previous];
  const hash = sha256(fields.map(netstring).join(""));
  const at = new Date(at_ms).toISOString();
  piece += `${JSON.stringify({ sequence, at_ms, at, actor, action, subject, details, previous, hash })}\n`;
  previous = hash;
  if (piece.length > 1 << 20) {
    if (!out.write(piece)) await once(out, "drain");
    piece = "";
  }
}
out.end(piece);
await once(out, "finish");

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const key = Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url");
const name = "slipway.example.com";
const at = new Date(START_MS + (rows + 1) * 700).toISOString();
const text = ["slipway-audit-head-v1", `https://${name}`, "1001", String(rows), previous, at, ""].join("\n");
const id = createHash("sha256").update(`${name}\n\u0001`).update(key).digest().subarray(0, 4);
const signature = Buffer.concat([id, sign(null, Buffer.from(text), privateKey)]).toString("base64");
writeFileSync(join(folder, "audit.head"), `${text}\n\u2014 ${name} ${signature}\n`);
writeFileSync(join(folder, "audit.key"), key.toString("base64"));
