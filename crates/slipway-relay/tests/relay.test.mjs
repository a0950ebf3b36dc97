// The verified copy on a real workerd, between servers that misbehave.
// `cargo xtask build bench-copy`, then `node --test crates/slipway-relay/tests/relay.test.mjs`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? `${root}/target`;
const machine = process.arch === "arm64" ? "arm64" : "64";
const program = `${target}/tools/node_modules/@cloudflare/workerd-linux-${machine}/bin/workerd`;
const config = `${root}/build/bench-copy/workerd.capnp`;

// More than two chunks of 2 MiB, and not a whole number of anything.
const BYTES = Buffer.from(Array.from({ length: 4093 }, (_, index) => (index * 31) % 251));
const PACKAGE = Buffer.concat(Array.from({ length: 1543 }, () => BYTES)).subarray(0, 6_300_001);
const sha256 = (bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const DIGEST = sha256(PACKAGE);
const PREFIX = "--boundary\r\n\r\n";
const SUFFIX = "\r\n--boundary--\r\n";

let worker;
let edge;

before(async () => {
  assert.ok(existsSync(config), "`cargo xtask build bench-copy` comes first");
  worker = spawn(program, ["serve", config, "--control-fd=1"], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface(worker.stdout)) {
    const { event, port } = JSON.parse(line);
    if (event === "listen") {
      edge = `http://127.0.0.1:${port}`;
      break;
    }
  }
});
after(() => worker.kill("SIGKILL"));

/// A server on loopback that gives each connection to `serve`, with the request's head read.
async function listen(serve) {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    // How the copy ends is what is judged; a socket that it breaks off is no surprise.
    socket.on("error", () => {});
    let received = Buffer.alloc(0);
    const head = (data) => {
      received = Buffer.concat([received, data]);
      const end = received.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", head);
      serve(socket, received.subarray(0, end).toString("latin1"), received.subarray(end + 4));
    };
    socket.on("data", head);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/package`, close };
}

/// A source that answers with a head and then does what `then` says; by itself it sends the package.
const source = (head = `content-length: ${PACKAGE.length}`, then = (socket) => socket.end(PACKAGE)) =>
  listen((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\n${head}\r\nconnection: close\r\n\r\n`);
    then(socket);
  });

/// A sink that remembers its upload: the declared length, what came of it, and whether it was complete. `uploads` holds
/// one promise for each connection, which is kept when that upload is complete or cut.
async function sink(answer = "HTTP/1.1 201 Created\r\ncontent-length: 6\r\n\r\nstored", impatient = false) {
  const uploads = [];
  const server = await listen((socket, head, first) => {
    const declared = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? NaN);
    const upload = new Promise((resolve) => {
      let body = first;
      const end = () => resolve({ head, declared, body, complete: body.length === declared });
      const take = (data) => {
        body = Buffer.concat([body, data]);
        if (body.length >= declared) {
          socket.write(answer);
          end();
        }
      };
      if (impatient) socket.write(answer);
      socket.on("data", take);
      socket.on("close", end);
      take(Buffer.alloc(0));
    });
    uploads.push(upload);
  });
  return { ...server, uploads };
}

/// Copies from one to the other and closes both. How the copy ended, and all uploads.
async function copy(from, to, more = {}) {
  try {
    const order = { source: from.url, url: to.url, prefix: PREFIX, suffix: SUFFIX, size: PACKAGE.length, digest: DIGEST };
    const body = JSON.stringify({ ...order, ...more });
    const began = performance.now();
    const ended = await (await fetch(`${edge}/relay`, { method: "POST", body })).json();
    const seconds = (performance.now() - began) / 1000;
    return { ended, seconds, uploads: await Promise.all(to.uploads) };
  } finally {
    from.close();
    to.close();
  }
}

const nothingComplete = (uploads) => {
  for (const { complete, body } of uploads) assert.equal(complete, false, `${body.length} bytes arrived`);
};

test("right bytes arrive whole, between what stands before and after them", async () => {
  const { ended, uploads } = await copy(await source(), await sink());
  const { progress, ...end } = ended;
  assert.deepEqual(end, { end: "answered", status: 201, body: "stored" });
  assert.equal(progress.at(-1), PACKAGE.length);
  const [{ head, declared, body, complete }] = uploads;
  assert.ok(complete);
  assert.equal(declared, PREFIX.length + PACKAGE.length + SUFFIX.length);
  assert.equal(sha256(body), sha256(Buffer.concat([Buffer.from(PREFIX), PACKAGE, Buffer.from(SUFFIX)])));
  assert.match(head, /^PUT \/package HTTP\/1\.1\r\n/);
  assert.match(head, /user-agent: Slipway\//i);
});

test("of an upload that broke off only the rest is sent, when all bytes together are the right ones", async () => {
  for (const skip of [1, 16 * 1024, 4_000_000, PACKAGE.length - 1]) {
    const { ended, uploads } = await copy(await source(), await sink(), { skip });
    assert.equal(ended.end, "answered", `${skip}`);
    const [{ declared, body, complete }] = uploads;
    assert.ok(complete);
    assert.equal(declared, PREFIX.length + PACKAGE.length - skip + SUFFIX.length);
    assert.equal(sha256(body), sha256(Buffer.concat([Buffer.from(PREFIX), PACKAGE.subarray(skip), Buffer.from(SUFFIX)])));
  }
  // The bytes that are not sent count too.
  const changed = Buffer.from(PACKAGE);
  changed[7] ^= 1;
  const other = await source(`content-length: ${changed.length}`, (socket) => socket.end(changed));
  const { ended, uploads } = await copy(other, await sink(), { skip: 4_000_000 });
  assert.equal(ended.end, "withheld");
  assert.equal(ended.found, sha256(changed));
  nothingComplete(uploads);
});

test("a chunked source is copied with a fixed length", async () => {
  const chunked = (socket) => {
    for (let at = 0; at < PACKAGE.length; at += 100_000) {
      const piece = PACKAGE.subarray(at, at + 100_000);
      socket.write(`${piece.length.toString(16)}\r\n`);
      socket.write(piece);
      socket.write("\r\n");
    }
    socket.end("0\r\n\r\n");
  };
  const { ended, uploads } = await copy(await source("transfer-encoding: chunked", chunked), await sink());
  assert.equal(ended.end, "answered");
  assert.equal(uploads[0].body.length, PREFIX.length + PACKAGE.length + SUFFIX.length);
});

test("an empty package is copied", async () => {
  const from = await source("content-length: 0", (socket) => socket.end());
  const { ended, uploads } = await copy(from, await sink(), { size: 0, digest: sha256("") });
  assert.equal(ended.end, "answered");
  assert.equal(uploads[0].body.toString(), PREFIX + SUFFIX);
});

const WRONG = Buffer.from(PACKAGE);
WRONG[3_000_000] ^= 1;
const chunks = (bytes) => (socket) => {
  socket.write(`${bytes.length.toString(16)}\r\n`);
  socket.write(bytes);
  socket.end("\r\n0\r\n\r\n");
};
for (const [what, head, then, end] of [
  ["one wrong bit", `content-length: ${PACKAGE.length}`, (s) => s.end(WRONG), { found: sha256(WRONG), size: PACKAGE.length }],
  ["another length", `content-length: ${PACKAGE.length - 1}`, (s) => s.end(PACKAGE.subarray(1)), { size: PACKAGE.length - 1 }],
  ["a byte too few, chunked", "transfer-encoding: chunked", chunks(PACKAGE.subarray(1)), { size: PACKAGE.length - 1 }],
  ["a byte too many, chunked", "transfer-encoding: chunked", chunks(Buffer.concat([PACKAGE, WRONG.subarray(0, 1)])), { size: PACKAGE.length + 1 }],
]) {
  for (const more of [{}, { prefix: "", suffix: "" }]) {
    const around = more.prefix === "" ? ", with nothing around the package" : "";
    test(`${what}${around}: no upload is ever complete`, async () => {
      const { ended, uploads } = await copy(await source(head, then), await sink(), more);
      const { progress, ...found } = ended;
      assert.deepEqual(found, { end: "withheld", found: null, ...end });
      assert.ok(progress.every((bytes) => bytes <= PACKAGE.length));
      nothingComplete(uploads);
    });
  }
}

test("bytes that complete the package wait for its digest, even when the end comes late and nothing stands after them", async () => {
  // Exactly the first chunk, so that it is known to be complete before the source has ended.
  const size = 16 * 1024;
  const wrong = PACKAGE.subarray(1, size + 1);
  const late = (socket) => {
    socket.write(`${size.toString(16)}\r\n`);
    socket.write(wrong);
    // What was sent on has long arrived then.
    setTimeout(() => socket.end("\r\n0\r\n\r\n"), 300);
  };
  const order = { prefix: "", suffix: "", size, digest: sha256(PACKAGE.subarray(0, size)) };
  const { ended, uploads } = await copy(await source("transfer-encoding: chunked", late), await sink(), order);
  assert.deepEqual(ended, { end: "withheld", found: sha256(wrong), size, progress: [] });
  nothingComplete(uploads);
});

test("what storage compresses on the way is not copied", async () => {
  const packed = gzipSync(PACKAGE);
  const head = `content-encoding: gzip\r\ncontent-length: ${packed.length}`;
  const { ended, uploads } = await copy(await source(head, (socket) => socket.end(packed)), await sink());
  assert.equal(ended.end, "broken");
  assert.match(ended.why, /compresses/);
  nothingComplete(uploads);
});

test("a source that says no is told as such", async () => {
  const from = await listen((socket) => socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
  const { ended, uploads } = await copy(from, await sink());
  assert.deepEqual(ended, { end: "source", status: 403, progress: [] });
  assert.deepEqual(uploads, []);
});

test("a source that is cut in the middle breaks the upload off", async () => {
  const cut = (socket) => socket.end(PACKAGE.subarray(0, 3_000_000));
  const { ended, uploads } = await copy(await source(undefined, cut), await sink());
  // The runtime may report the cut, or the end: neither is a package.
  assert.ok(ended.end === "broken" || (ended.end === "withheld" && ended.size === 3_000_000), JSON.stringify(ended));
  nothingComplete(uploads);
});

test("a destination that answers before it has the package is heard", async () => {
  const full = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 8\r\nconnection: close\r\n\r\ntoo much";
  // It never sends the rest, so only an early answer ends this copy.
  const stalled = (socket) => socket.write(PACKAGE.subarray(0, 3_000_000));
  const { ended, uploads } = await copy(await source(undefined, stalled), await sink(full, true), { silence_ms: 20_000 });
  const { progress: _, ...end } = ended;
  assert.deepEqual(end, { end: "answered early", status: 413, body: "too much" });
  nothingComplete(uploads);
});

test("a source that falls silent is broken off", async () => {
  const silent = (socket) => socket.write(PACKAGE.subarray(0, 3_000_000));
  const { ended, uploads } = await copy(await source(undefined, silent), await sink(), { silence_ms: 1000 });
  assert.equal(ended.end, "broken");
  assert.equal(ended.why, "the download kept silent for 1 s");
  nothingComplete(uploads);
});

test("a destination that takes nothing more is broken off", async () => {
  const uploads = [];
  const to = await listen((socket) => {
    socket.pause();
    uploads.push({ complete: false, body: Buffer.alloc(0) });
  });
  const size = 64 * 1024 * 1024;
  const from = await source(`content-length: ${size}`, (socket) => {
    const fill = () => {
      while (socket.writable && socket.write(PACKAGE)) {
        // Until the kernel takes no more.
      }
    };
    socket.on("drain", fill);
    fill();
  });
  const { ended } = await copy(from, { ...to, uploads }, { size, silence_ms: 1000 });
  assert.equal(ended.end, "broken");
  assert.equal(ended.why, "the upload kept silent for 1 s");
});

/// Sends the package at a rate, ten times a second.
const throttled = (bytesPerSecond) => (socket) => {
  let at = 0;
  const timer = setInterval(() => {
    const next = at + bytesPerSecond / 10;
    socket.write(PACKAGE.subarray(at, next));
    at = next;
    if (at >= PACKAGE.length) {
      clearInterval(timer);
      socket.end();
    }
  }, 100);
  socket.on("close", () => clearInterval(timer));
};

test("a source that is too slow is given up within seconds, with its rate", async () => {
  // At 200,000 bytes a second it needs 31 s. It has 20.
  const patience = { warm_up_ms: 1000, warm_up_bytes: 100_000, stretch_ms: 2000, window_ms: 5000 };
  const from = await source(undefined, throttled(200_000));
  const { ended, seconds, uploads } = await copy(from, await sink(), { ...patience, until_ms: 20_000 });
  assert.equal(ended.end, "too slow", JSON.stringify(ended));
  assert.ok(seconds < 10, `${seconds} s`);
  assert.ok(Math.abs(ended.rate_bytes_per_second - 200_000) < 60_000, JSON.stringify(ended));
  assert.ok(ended.needed_seconds > 20 && ended.left_seconds < 20, JSON.stringify(ended));
  nothingComplete(uploads);
});

test("the same source is copied to its end when nothing limits its time, and its progress only grows", async () => {
  const from = await source(undefined, throttled(2_000_000));
  const { ended, uploads } = await copy(from, await sink(), { warm_up_ms: 0, warm_up_bytes: 0, stretch_ms: 500 });
  assert.equal(ended.end, "answered");
  assert.ok(uploads[0].complete);
  const { progress } = ended;
  // 3.15 s: two or three looks, and the end.
  assert.ok(progress.length >= 3 && progress.length <= 5, progress.join());
  assert.ok(progress.every((bytes, index) => index === 0 || bytes > progress[index - 1]), progress.join());
  assert.equal(progress.at(-1), PACKAGE.length);
});

test("a look just before the end tells of all bytes, and the end does not tell of them again", async () => {
  // As below: two chunks, and more than a second between them.
  const size = 2 * 16 * 1024;
  const late = (socket) => {
    socket.write(`${size.toString(16)}\r\n`);
    socket.write(PACKAGE.subarray(0, size / 2));
    setTimeout(() => {
      socket.write(PACKAGE.subarray(size / 2, size));
      setTimeout(() => socket.end("\r\n0\r\n\r\n"), 100);
    }, 1500);
  };
  const order = { size, digest: sha256(PACKAGE.subarray(0, size)) };
  const { ended } = await copy(await source("transfer-encoding: chunked", late), await sink(), order);
  assert.equal(ended.end, "answered", JSON.stringify(ended));
  assert.deepEqual(ended.progress, [size]);
});

test("a copy that hangs when its time is over is given up then, whatever silence it may keep", async () => {
  const silent = (socket) => socket.write(PACKAGE.subarray(0, 3_000_000));
  const { ended, seconds, uploads } = await copy(await source(undefined, silent), await sink(), { until_ms: 1500 });
  assert.equal(ended.end, "too slow");
  assert.ok(seconds >= 1.4 && seconds < 10, `${seconds} s`);
  nothingComplete(uploads);
});

test("a copy that is called off ends at once, and both sides with it", async () => {
  let closed;
  const sourceClosed = new Promise((resolve) => {
    closed = resolve;
  });
  const from = await source(undefined, (socket) => {
    socket.on("close", closed);
    throttled(500_000)(socket);
  });
  const { ended, uploads } = await copy(from, await sink(), { cancel_at_bytes: 1 });
  assert.equal(ended.end, "broken");
  assert.equal(ended.why, "the copy was called off");
  await sourceClosed;
  nothingComplete(uploads);
});

/// Ends a connection as a machine that fails does, without a word.
const reset = (socket) => socket.resetAndDestroy();
const nothingAround = { prefix: "", suffix: "" };

for (const [what, more] of [
  ["", {}],
  [", with nothing around the package", nothingAround],
  [", with nothing after the package", { suffix: "" }],
  [", with nothing before the package", { prefix: "" }],
]) {
  test(`a source that is cut exactly between two chunks breaks the upload off${what}`, async () => {
    // The first two chunks have 16 KiB, and the third twice that.
    for (const bytes of [0, 16 * 1024, 32 * 1024, 64 * 1024, PACKAGE.length - 1]) {
      const cut = (socket) => socket.write(PACKAGE.subarray(0, bytes), () => setTimeout(() => reset(socket), 100));
      const { ended, uploads } = await copy(await source(undefined, cut), await sink(), more);
      assert.ok(ended.end === "broken" || (ended.end === "withheld" && ended.size === bytes), JSON.stringify(ended));
      nothingComplete(uploads);
    }
  });

  test(`a source that has sent everything and is cut before it says so: no upload is ever complete${what}`, async () => {
    for (const bytes of [PACKAGE, WRONG]) {
      const cut = (socket) => {
        socket.write(`${bytes.length.toString(16)}\r\n`);
        socket.write(bytes, () => setTimeout(() => reset(socket), 300));
      };
      const { ended, uploads } = await copy(await source("transfer-encoding: chunked", cut), await sink(), more);
      assert.equal(ended.end, "broken", JSON.stringify(ended));
      nothingComplete(uploads);
    }
  });

  test(`a byte that follows late, when everything has been sent, keeps the upload from its end${what}`, async () => {
    const late = (socket) => {
      socket.write(`${PACKAGE.length.toString(16)}\r\n`);
      socket.write(PACKAGE);
      setTimeout(() => socket.end("\r\n1\r\nx\r\n0\r\n\r\n"), 300);
    };
    const { ended, uploads } = await copy(await source("transfer-encoding: chunked", late), await sink(), more);
    assert.equal(ended.end, "withheld", JSON.stringify(ended));
    assert.equal(ended.size, PACKAGE.length + 1);
    nothingComplete(uploads);
  });
}

test("a copy that is called off between the last bytes and the end of the source is never complete", async () => {
  // Exactly two chunks, so that they are known to be all before the source has ended. More than a second passes between
  // them, so that they are told of.
  const size = 2 * 16 * 1024;
  const late = (socket) => {
    socket.write(`${size.toString(16)}\r\n`);
    socket.write(PACKAGE.subarray(0, size / 2));
    setTimeout(() => socket.write(PACKAGE.subarray(size / 2, size)), 1500);
  };
  for (const more of [{}, nothingAround]) {
    const order = { ...more, size, digest: sha256(PACKAGE.subarray(0, size)), cancel_at_bytes: size };
    const { ended, uploads } = await copy(await source("transfer-encoding: chunked", late), await sink(), order);
    assert.deepEqual(ended, { end: "broken", host: "127.0.0.1", why: "the copy was called off", progress: [size] });
    nothingComplete(uploads);
  }
});

test("a destination that hangs up, wherever it does, is told as such and has nothing complete", async () => {
  const whole = PREFIX.length + PACKAGE.length + SUFFIX.length;
  for (const after of [0, PREFIX.length, 1_000_000, whole - 1]) {
    const uploads = [];
    const to = await listen((socket, head, first) => {
      let received = 0;
      uploads.push(new Promise((resolve) => socket.on("close", () => resolve({ complete: received >= whole, body: Buffer.alloc(0) }))));
      const take = (data) => {
        received += data.length;
        if (received >= after) reset(socket);
      };
      socket.on("data", take);
      take(first);
    });
    const { ended } = await copy(await source(), { ...to, uploads });
    assert.equal(ended.end, "broken", JSON.stringify(ended));
  }
});

test("a destination that says that it has stored what it has not received yet is not sent the rest", async () => {
  const created = "HTTP/1.1 201 Created\r\ncontent-length: 6\r\n\r\nstored";
  const stalled = (socket) => socket.write(WRONG.subarray(0, 3_100_000));
  const { ended, uploads } = await copy(await source(undefined, stalled), await sink(created, true), { silence_ms: 20_000 });
  const { progress: _, ...end } = ended;
  assert.deepEqual(end, { end: "answered early", status: 201, body: "stored" });
  nothingComplete(uploads);
});

test("a destination that takes its bytes much slower than the source gives them has the right ones", async () => {
  // Many times both buffers, so that each is filled again while the destination is behind.
  const bytes = Buffer.concat(Array.from({ length: 8 }, (_, index) => Buffer.concat([Buffer.from([index]), PACKAGE])));
  const uploads = [];
  const to = await listen((socket, head, first) => {
    const declared = Number(/content-length: (\d+)/i.exec(head)[1]);
    const pieces = [first];
    let received = first.length;
    uploads.push(new Promise((resolve) => {
      socket.on("data", (data) => {
        pieces.push(data);
        received += data.length;
        if (received >= declared) {
          socket.write("HTTP/1.1 201 Created\r\ncontent-length: 6\r\n\r\nstored");
          resolve(Buffer.concat(pieces));
          return;
        }
        // The kernel's buffers fill up meanwhile, and then the runtime's.
        socket.pause();
        setTimeout(() => socket.resume(), 2);
      });
    }));
  });
  const from = await source(`content-length: ${bytes.length}`, (socket) => socket.end(bytes));
  const { ended, uploads: [body] } = await copy(from, { ...to, uploads }, { size: bytes.length, digest: sha256(bytes) });
  assert.equal(ended.end, "answered", JSON.stringify(ended));
  assert.equal(sha256(body), sha256(Buffer.concat([Buffer.from(PREFIX), bytes, Buffer.from(SUFFIX)])));
});

test("an answer that comes in drops is not waited for without end", async () => {
  const drip = await listen((socket, head, first) => {
    const declared = Number(/content-length: (\d+)/i.exec(head)[1]);
    let received = first.length;
    socket.on("data", (data) => {
      received += data.length;
      if (received < declared) return;
      socket.write("HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n");
      const timer = setInterval(() => socket.write("x"), 300);
      socket.on("close", () => clearInterval(timer));
    });
  });
  const { ended, seconds } = await copy(await source(), { ...drip, uploads: [] }, { silence_ms: 1000 });
  assert.equal(ended.end, "broken", JSON.stringify(ended));
  assert.match(ended.why, /the answer to the upload/);
  assert.ok(seconds < 10, `${seconds} s`);
});
