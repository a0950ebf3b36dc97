// A stand-in for the edge: serves pages that the view crate has rendered and the built dashboard, and sends live
// messages when a test says so. The real edge's own tests are elsewhere; here the browser is under test.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { basename, extname } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const built = process.env.SLIPWAY_DASHBOARD ?? `${root}/build/dashboard/assets`;

const types = { ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".wasm": "application/wasm" };

// `page::CONTENT_SECURITY_POLICY`.
const policy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; " +
  "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; " +
  "require-trusted-types-for 'script'; trusted-types slipway";

const pages = new Map();

/** A page as the view crate renders it. */
function rendered(name, query = "") {
  const key = `${name}?${query}`;
  if (!pages.has(key)) pages.set(key, render(name, query));
  return pages.get(key);
}

function render(name, query) {
  const command = ["run", "--quiet", "--package", "slipway-view", "--example", "page", "--", name, query];
  return execFileSync("cargo", command, { cwd: root, encoding: "utf8", maxBuffer: 1 << 24 });
}

/** A file of the built dashboard, as it is served. */
export function asset(name) {
  try {
    return readFileSync(`${built}/${basename(name)}`);
  } catch (cause) {
    throw new Error(`the dashboard is not built: run \`cargo xtask build dashboard\` first`, { cause });
  }
}

export async function startEdge() {
  const edge = {
    /** The release that the API answers with, and that a socket gets when it is behind. */
    release: JSON.parse(rendered("json")),
    acceptsSockets: true,
    apiStatus: 200,
    /** The `since` of every socket. */
    connections: [],
    /** The `If-None-Match` of every question to the API. */
    questions: [],
    sockets: new Set(),
    /** Changes one target and tells every open page. */
    change(key, distro, change) {
      const target = edge.release.packages.find((one) => one.key === key).targets.find((one) => one.distro === distro);
      Object.assign(target, change);
      edge.release.sequence += 1;
      for (const socket of edge.sockets) socket.send(JSON.stringify(edge.release));
    },
    /** Cuts every connection, as a deployment does. */
    cut() {
      for (const socket of edge.sockets) socket.terminate();
    },
  };

  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://edge");
    if (pathname.startsWith("/assets/")) {
      response.writeHead(200, { "content-type": types[extname(pathname)] }).end(asset(pathname));
    } else if (pathname.startsWith("/api/")) {
      edge.questions.push(request.headers["if-none-match"]);
      const tag = `"${edge.release.sequence}"`;
      const status = edge.apiStatus === 200 && request.headers["if-none-match"] === tag ? 304 : edge.apiStatus;
      response.writeHead(status, { etag: tag, "content-type": "application/json" });
      response.end(status === 200 ? JSON.stringify(edge.release) : undefined);
    } else {
      const name = pathname.split("/").pop();
      const page = rendered(name === "1.2.0" ? "release" : name, searchParams.toString());
      const headers = { "content-type": "text/html; charset=utf-8", "content-security-policy": policy };
      response.writeHead(200, headers).end(page);
    }
  });
  const live = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const { searchParams } = new URL(request.url, "http://edge");
    edge.connections.push(Number(searchParams.get("since")));
    if (!edge.acceptsSockets) return socket.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n");
    live.handleUpgrade(request, socket, head, (client) => {
      edge.sockets.add(client);
      client.on("close", () => edge.sockets.delete(client));
      client.on("message", (data) => String(data) === "ping" && client.send("pong"));
      if (edge.release.sequence > edge.connections.at(-1)) client.send(JSON.stringify(edge.release));
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  edge.url = `http://127.0.0.1:${server.address().port}`;
  edge.page = `${edge.url}/p/tug/r/1.2.0`;
  edge.stop = async () => {
    edge.cut();
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
  return edge;
}
