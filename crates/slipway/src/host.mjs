// What only Node can do for the command: the environment, files, time, and package bytes as streams.
// No decision is made here, and no byte of a package reaches the wasm.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { setTimeout as pass } from "node:timers/promises";

/// Bigger pieces cost fewer turns of the event loop; one is in memory at a time.
const PIECE_BYTES = 1024 * 1024;
/// A package server's answer to an upload is a few kilobytes; a proxy's error page may be more.
const ANSWER_BYTES_MAX = 1024 * 1024;

export const variable = (name) => process.env[name];
export const print = (text) => void process.stdout.write(text);
export const complain = (text) => void process.stderr.write(text);
export const now = () => performance.now();
export const pause = (milliseconds) => pass(milliseconds);
export const read_text = (path) => readFile(path, "utf8");

/// The SHA-256 and size of a file, read as a stream.
export async function hash(path) {
  if (!(await stat(path)).isFile()) throw new Error("it is not a file");
  const sha256 = createHash("sha256");
  let size = 0;
  for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES })) {
    sha256.update(piece);
    size += piece.length;
  }
  return { hex: sha256.digest("hex"), size };
}

/// Sends `prefix`, the file and `suffix` as one body, whose length `headers` gives, hashing the file on the way. When the file is not
/// what it was (`size`, `hex`), the end of the body is withheld and the connection cut, so nothing is accepted.
/// Resolves to `{ end: "withheld" }`, or to the answer with `end` "answered", or "early" when it came before the body
/// was complete. Rejects when there is no answer, also after `patience` milliseconds in which nothing moved.
export async function upload(path, size, hex, method, url, headers, prefix, suffix, patience) {
  const { request } = url.startsWith("https:") ? https : http;
  const outgoing = request(url, { method, agent: false, headers: Object.fromEntries(headers) });
  let settled = false;
  const answer = new Promise((resolve, reject) => {
    outgoing.once("response", (response) => ((settled = true), resolve(response)));
    outgoing.on("error", (error) => ((settled = true), reject(error)));
  });
  // Awaited below; until then a rejection is not unhandled, only early.
  answer.catch(() => {});
  outgoing.setTimeout(patience, () => outgoing.destroy(new Error(`nothing moved for ${patience / 1000} s`)));

  outgoing.write(prefix);
  const sha256 = createHash("sha256");
  let sent = 0;
  let grown = false;
  for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES })) {
    grown = sent + piece.length > size;
    if (settled || grown) break;
    sha256.update(piece);
    sent += piece.length;
    if (!outgoing.write(piece)) await room(outgoing);
  }
  if (!settled) {
    if (grown || sent !== size || sha256.digest("hex") !== hex) {
      outgoing.destroy();
      return { end: "withheld" };
    }
    outgoing.end(suffix);
  }
  const response = await answer;
  const end = outgoing.writableEnded ? "answered" : "early";
  const pieces = [];
  let kept = 0;
  for await (const piece of response) {
    kept += piece.length;
    if (kept > ANSWER_BYTES_MAX) break;
    pieces.push(piece);
  }
  outgoing.destroy();
  return { end, status: response.statusCode, body: new Uint8Array(Buffer.concat(pieces)) };
}

/// Resolves when `stream` takes more, or when it never will.
const room = (stream) =>
  new Promise((resolve) => {
    const events = ["drain", "response", "error", "close"];
    const done = () => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
