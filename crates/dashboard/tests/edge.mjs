// A stand-in for the edge: serves pages that the view crate has rendered and the built dashboard, and sends live
// messages when a test says so. The real edge's own tests are elsewhere; here the browser is under test.

import { readFileSync } from "node:fs";
import http from "node:http";
import { basename, extname } from "node:path";
import { WebSocketServer } from "ws";
import { allPages, pageWith, root } from "./pages.mjs";

const built = process.env.SLIPWAY_DASHBOARD ?? `${root}/build/dashboard/assets`;

const types = { ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".wasm": "application/wasm" };

/** A file of the built dashboard, as it is served. */
export function asset(name) {
  try {
    return readFileSync(`${built}/${basename(name)}`);
  } catch (cause) {
    throw new Error(`the dashboard is not built: run \`cargo xtask build dashboard\` first`, { cause });
  }
}

/** Serves pages: those of the example, unless it is given others. */
export async function startEdge({ policy, pages } = allPages()) {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  const byName = new Map(pages.map((page) => [page.name, page]));
  /** What the API answers with, and what a socket gets when it is behind, by version. */
  const releases = new Map();
  for (const page of pages) {
    if (!page.release) continue;
    const release = JSON.parse(page.release);
    if (!releases.has(release.version)) releases.set(release.version, release);
  }

  /** Sockets that wait to be opened. */
  const held = [];

  const edge = {
    releases,
    /** The release that most tests change. */
    release: releases.get("1.2.0"),
    acceptsSockets: true,
    /** Whether sockets are neither opened nor refused until `letSocketsIn`. */
    holdsSockets: false,
    /** Whether sockets that are open are answered. */
    answersSockets: true,
    apiStatus: 200,
    /** What a page that is asked for again is answered with, instead of itself: `{status, headers, html}`. */
    instead: undefined,
    /** The `since` of every socket. */
    connections: [],
    /** The `If-None-Match` of every question to the API. */
    questions: [],
    sockets: new Set(),
    /** The address of a page, by its name. */
    at(name) {
      const page = byName.get(name);
      if (!page) throw new Error(`no page \`${name}\``);
      return edge.url + page.path;
    },
    /** Changes one target and tells every open page. */
    change(key, distro, change) {
      const target = edge.release.packages.find((one) => one.key === key).targets.find((one) => one.distro === distro);
      Object.assign(target, change);
      edge.release.sequence += 1;
      edge.tell(edge.release);
    },
    /** Tells every open page of a release what it is now. */
    tell(release) {
      releases.set(release.version, release);
      for (const socket of edge.sockets) if (socket.version === release.version) socket.send(JSON.stringify(release));
    },
    /** Cuts every connection, as a deployment does. */
    cut() {
      for (const socket of edge.sockets) socket.terminate();
      for (const { socket } of held.splice(0)) socket.destroy();
    },
    /** Opens the sockets that were held, and holds none any more. */
    letSocketsIn() {
      edge.holdsSockets = false;
      for (const { open } of held.splice(0)) open();
    },
  };

  let readings = 0;
  /** A page that is asked for again: the edge has read its records again, and says when. */
  const readAgain = (html) => {
    readings += 1;
    return html.replace(/(id="freshness" data-at="[^"]*?)(\.\d+)?Z"/, (_, at) => `${at}.${String(readings).padStart(3, "0")}Z"`);
  };

  /** `/api/v1/projects/{project}/releases/{version}` and what follows. */
  const asked = (pathname) => releases.get(decodeURIComponent(pathname.split("/")[6] ?? ""));

  const server = http.createServer((request, response) => {
    const { pathname, search } = new URL(request.url, "http://edge");
    if (pathname.startsWith("/assets/")) {
      response.writeHead(200, { "content-type": types[extname(pathname)] }).end(asset(pathname));
    } else if (pathname.startsWith("/api/")) {
      const release = asked(pathname);
      edge.questions.push(request.headers["if-none-match"]);
      const tag = release && `"${release.sequence}"`;
      const here = release ? edge.apiStatus : 404;
      const status = here === 200 && request.headers["if-none-match"] === tag ? 304 : here;
      response.writeHead(status, { ...(tag && { etag: tag }), "content-type": "application/json" });
      response.end(status === 200 ? JSON.stringify(release) : undefined);
    } else {
      const page = byPath.get(pathname + search) ?? byPath.get(pathname);
      const known = page && (page.path === pathname + search ? page.html : pageWith(page.name, search.slice(1)));
      const isAgain = request.headers["sec-fetch-dest"] === "empty";
      const instead = isAgain ? edge.instead : undefined;
      const headers = { "content-type": "text/html; charset=utf-8", "content-security-policy": policy, ...instead?.headers };
      const html = known && isAgain ? readAgain(known) : known;
      response.writeHead(instead?.status ?? (page ? 200 : 404), headers).end(instead?.html ?? html ?? "<!DOCTYPE html><title>no such page</title>");
    }
  });
  const live = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const { pathname, searchParams } = new URL(request.url, "http://edge");
    const since = Number(searchParams.get("since"));
    edge.connections.push(since);
    const release = asked(pathname);
    if (!edge.acceptsSockets || !release) return socket.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n");
    const open = () =>
      live.handleUpgrade(request, socket, head, (client) => {
        client.version = release.version;
        edge.sockets.add(client);
        client.on("close", () => edge.sockets.delete(client));
        client.on("message", (data) => edge.answersSockets && String(data) === "ping" && client.send("pong"));
        const now = releases.get(release.version);
        if (now.sequence !== since) client.send(JSON.stringify(now));
      });
    if (!edge.holdsSockets) return open();
    // A page that waits no longer hangs up.
    socket.on("error", () => {});
    held.push({ socket, open });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  edge.url = `http://127.0.0.1:${server.address().port}`;
  edge.page = byName.has("release") ? edge.at("release") : undefined;
  edge.stop = async () => {
    edge.cut();
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
  return edge;
}
