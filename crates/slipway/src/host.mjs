// What only Node can do for the command: the environment, files, time, and package bytes as streams.
// No decision is made here, and no byte of a package reaches the wasm.

import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pass } from "node:timers/promises";

/// Bigger pieces cost fewer turns of the event loop; one is in memory at a time.
const PIECE_BYTES = 1024 * 1024;
/// A package server's answer to an upload is a few kilobytes; a proxy's error page may be more.
const ANSWER_BYTES_MAX = 1024 * 1024;

/// A line that is longer is none of the edge's.
const LINE_CHARACTERS_MAX = 64 * 1024;

export const variable = (name) => process.env[name];
export const now = () => performance.now();
export const date = () => new Date().toISOString();
export const pause = (milliseconds) => pass(milliseconds);
// Nothing that only watches keeps the command from ending.
export const tick = (milliseconds) => pass(milliseconds, undefined, { ref: false });
export const read_text = (path) => readFile(path, "utf8");
export const write_text = (path, text) => writeFile(path, text);
export const append_text = (path, text) => writeFile(path, text, { flag: "a" });
export const home = () => homedir();

/// Writes a file that nobody else may read, whole or not at all.
export async function write_secret(path, text) {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, text, { mode: 0o600, flag: "wx" });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/// Checks a signature with `gpgv`, in a folder of its own. A signature of none is inside of the message. Resolves to what was
/// signed, or to `null` where the machine has no `gpgv`; rejects with what it says.
export async function gpgv(keyring, message, signature) {
  const folder = await mkdtemp(join(tmpdir(), "slipway-gpgv-"));
  try {
    const [keys, text, detached, signed] = ["keys.gpg", "message", "message.sig", "signed"].map((name) => join(folder, name));
    await writeFile(keys, keyring);
    await writeFile(text, message);
    if (signature) await writeFile(detached, signature);
    // The status lines are the same in every language; the log is for people.
    const words = ["--homedir", folder, "--status-fd", "1", "--keyring", keys];
    words.push(...(signature ? [detached, text] : ["--output", signed, text]));
    const ended = await new Promise((resolve) => {
      const environment = { PATH: process.env.PATH, LC_ALL: "C" };
      execFile("gpgv", words, { env: environment }, (error, status, log) => resolve({ error, status, log }));
    });
    if (ended.error?.code === "ENOENT") return null;
    if (ended.error || !/^\[GNUPG:\] VALIDSIG /m.test(ended.status)) throw new Error(ended.log.trim() || "gpgv gives no reason");
    return new Uint8Array(signature ? message : await readFile(signed));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/// Lines at the end of the terminal that are still to be replaced.
let drawn = 0;
const erase = () => {
  // To the first of them, then away with all that follows (ECMA-48: cursor up, erase in page).
  if (drawn > 0) process.stdout.write(`\x1b[${drawn}A\x1b[0J`);
  drawn = 0;
};
export const print = (text) => (erase(), void process.stdout.write(text));
export const complain = (text) => (erase(), void process.stderr.write(text));
// A terminal that cannot move its cursor is written to as a log is.
export const columns = () => (process.stdout.isTTY && process.env.TERM !== "dumb" ? process.stdout.columns : 0);
export const draw = (text, lines) => (print(text), void (drawn = lines));

/// At most `length` bytes of a file.
export async function read_at(path, offset, length) {
  const file = await open(path, "r");
  try {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await file.close();
  }
}

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
/// was complete. Rejects when there is no answer, also after `patience` milliseconds in which nothing moved. `moved` is told
/// how many bytes of the file have been sent.
export async function upload(path, size, hex, method, url, headers, prefix, suffix, patience, moved) {
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
    moved(sent);
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

/// Sends `body` and gives the answer's lines as they come. Lost when nothing moves for `silence` milliseconds.
export function hold(url, headers, body, silence) {
  const { request } = url.startsWith("https:") ? https : http;
  const outgoing = request(url, { method: "POST", agent: false, headers: Object.fromEntries(headers) });
  outgoing.setTimeout(silence, () => outgoing.destroy(new Error(`nothing came for ${silence / 1000} s`)));
  const answer = new Promise((resolve, reject) => outgoing.once("response", resolve).on("error", reject));
  // Awaited below; until then a rejection is not unhandled, only early.
  answer.catch(() => {});
  outgoing.end(body);
  async function* read() {
    let rest = "";
    for await (const piece of (await answer).setEncoding("utf8")) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop();
      if (rest.length > LINE_CHARACTERS_MAX) throw new Error("a line has no end");
      yield* lines;
    }
    if (rest) yield rest;
  }
  const lines = read();
  return {
    status: async () => (await answer).statusCode,
    line: async () => (await lines.next()).value,
    close: () => void outgoing.destroy(),
  };
}

/// Sends `body` in chunks, so that its length is not known before its end.
export async function chunked(url, headers, body, patience) {
  const { request } = url.startsWith("https:") ? https : http;
  const outgoing = request(url, { method: "POST", agent: false, headers: Object.fromEntries(headers) });
  outgoing.setTimeout(patience, () => outgoing.destroy(new Error(`nothing moved for ${patience / 1000} s`)));
  const answer = new Promise((resolve, reject) => outgoing.once("response", resolve).on("error", reject));
  answer.catch(() => {});
  const half = Math.floor(body.length / 2);
  outgoing.write(body.subarray(0, half));
  outgoing.end(body.subarray(half));
  const response = await answer;
  const pieces = [];
  let kept = 0;
  for await (const piece of response) {
    kept += piece.length;
    if (kept > ANSWER_BYTES_MAX) break;
    pieces.push(piece);
  }
  outgoing.destroy();
  return { status: response.statusCode, body: new Uint8Array(Buffer.concat(pieces)) };
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
