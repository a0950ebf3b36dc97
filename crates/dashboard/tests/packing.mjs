// What stands before an edge when it is deployed: it packs what it passes on. workerd by itself does not.

import { connect } from "node:net";
import http from "node:http";
import { gzip } from "node:zlib";
import { promisify } from "node:util";

const pack = promisify(gzip);

/** As Cloudflare and nginx do by default: these kinds, and no effort for the last byte. */
const PACKED = /^(text\/|application\/(json|javascript|wasm)|image\/svg)/;
const LEVEL = 6;

/**
 * Passes everything on to `target`, sockets too, and packs the answers. It stands under the edge's own name, as far as the
 * edge can tell: an edge opens no socket for a page of another origin.
 */
export async function startPacking(target) {
  const { hostname, port, origin } = new URL(target);
  // The same answer is packed once, so that what is measured is the way to the browser and not this program.
  const known = new Map();
  const server = http.createServer((request, response) => {
    const headers = { ...request.headers, "accept-encoding": "identity" };
    const onward = http.request({ hostname, port, path: request.url, method: request.method, headers }, async (answer) => {
      const chunks = [];
      for await (const chunk of answer) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      const kept = { ...answer.headers };
      delete kept["transfer-encoding"];
      if (body.length === 0 || !PACKED.test(kept["content-type"] ?? "")) {
        return response.writeHead(answer.statusCode, kept).end(body);
      }
      let entry = known.get(request.url);
      if (!entry?.body.equals(body)) {
        entry = { body, packed: await pack(body, { level: LEVEL }) };
        known.set(request.url, entry);
      }
      const length = { "content-encoding": "gzip", "content-length": entry.packed.length };
      response.writeHead(answer.statusCode, { ...kept, ...length }).end(entry.packed);
    });
    onward.on("error", () => response.writeHead(502).end());
    request.pipe(onward);
  });
  const url = () => `http://127.0.0.1:${server.address().port}`;
  const sockets = new Set();
  server.on("upgrade", (request, socket) => {
    const onward = connect(port, hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let at = 0; at < request.rawHeaders.length; at += 2) {
        const [name, value] = request.rawHeaders.slice(at, at + 2);
        lines.push(`${name}: ${name.toLowerCase() === "origin" && value === url() ? origin : value}`);
      }
      onward.write(`${lines.join("\r\n")}\r\n\r\n`);
      socket.pipe(onward).pipe(socket);
    });
    for (const end of [socket, onward]) {
      sockets.add(end);
      end.on("error", () => {});
      end.on("close", () => [socket, onward].forEach((one) => one.destroy()));
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: url(),
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
