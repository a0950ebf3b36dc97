// The entry of the Worker that only copies. `POST /relay` is the verified copy, and `POST /image` brings a whole image with
// it; `POST /pipe` moves the same bytes as workerd does it by itself, without looking at them, and is what one measures the
// first against.
import * as glue from "./index.js";

async function relay(order) {
  const progress = [];
  const cancel = new AbortController();
  const told = (bytes) => {
    progress.push(bytes);
    if (order.cancel_at_bytes !== undefined && bytes >= order.cancel_at_bytes) cancel.abort();
  };
  const ended = JSON.parse(await glue.relay(JSON.stringify(order), cancel.signal, told));
  return { ...ended, progress };
}

async function pipe({ source, url, size }) {
  const { body } = await fetch(source, { headers: { "accept-encoding": "identity" } });
  const fixed = new FixedLengthStream(size);
  const upload = fetch(url, { method: "PUT", body: fixed.readable });
  await body.pipeTo(fixed.writable);
  const answer = await upload;
  return { end: "answered", status: answer.status, body: await answer.text() };
}

// `error` says why it did not arrive.
async function image(order) {
  try {
    await glue.image(JSON.stringify(order));
    return { end: "copied" };
  } catch (error) {
    return { end: "failed", error: String(error) };
  }
}

// How long the hash alone takes.
async function hash({ size }) {
  const digest = new crypto.DigestStream("SHA-256");
  const writer = digest.getWriter();
  const chunk = new Uint8Array(1024 * 1024);
  const began = Date.now();
  for (let hashed = 0; hashed < size; hashed += chunk.length) await writer.write(chunk);
  await writer.close();
  await digest.digest;
  return { seconds: (Date.now() - began) / 1000 };
}

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const copy = { "/relay": relay, "/image": image, "/pipe": pipe, "/hash": hash }[pathname];
    if (request.method !== "POST" || copy === undefined) return new Response("no such page\n", { status: 404 });
    return Response.json(await copy(await request.json()));
  },
};
