// How a version of the component is made, with a GitLab's package registry on loopback.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { read, templates } from "./bootstrap.mjs";

const tarball = Buffer.from("the command");
const sha256 = createHash("sha256").update(tarball).digest("hex");
const registry = new Map();
let server, url, folder;

before(async () => {
  server = http.createServer(async (request, answer) => {
    if (request.url === "/slipway.tgz") return answer.end(tarball);
    if (request.headers["job-token"] !== "glcbt-1") return answer.writeHead(401).end();
    if (request.method === "PUT") {
      const pieces = [];
      for await (const piece of request) pieces.push(piece);
      registry.set(request.url, Buffer.concat(pieces));
      return answer.writeHead(201).end();
    }
    const kept = registry.get(request.url);
    kept ? answer.end(kept) : answer.writeHead(404).end();
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());
beforeEach(() => {
  registry.clear();
  folder = mkdtempSync(join(tmpdir(), "slipway-pin-"));
  cpSync(fileURLToPath(new URL("../templates", import.meta.url)), join(folder, "templates"), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

function pin(version, from = `${url}/slipway.tgz`) {
  const env = { PATH: process.env.PATH, CI_API_V4_URL: `${url}/api/v4`, CI_PROJECT_ID: "9", CI_JOB_TOKEN: "glcbt-1" };
  const script = fileURLToPath(new URL("../release/pin.mjs", import.meta.url));
  const node = spawn(process.execPath, [script, version, from], { cwd: folder, env });
  let text = "";
  for (const stream of [node.stdout, node.stderr]) stream.on("data", (piece) => (text += piece));
  return new Promise((ended) => node.on("close", (code) => ended({ code, text })));
}
const written = (template) => readFileSync(join(folder, `templates/${template}.yml`), "utf8");

test("a version's templates load the tarball that the project keeps, by its SHA-256, and are else as they were", async () => {
  const { code, text } = await pin("1.2.3");
  assert.equal(code, 0, text);
  const path = "/api/v4/projects/9/packages/generic/slipway/1.2.3/slipway-1.2.3.tgz";
  assert.deepEqual([...registry], [[path, tarball]]);
  for (const template of templates) {
    const [ours, theirs] = [read(template), written(template)].map((text) => text.split("\n"));
    const changed = theirs.filter((line, number) => line !== ours[number]);
    assert.deepEqual(changed, [`      default: "${url}${path}"`, `      default: "${sha256}"`], template);
  }
});

test("a version that was made is made again as it was, and never of another tarball", async () => {
  assert.equal((await pin("1.2.3")).code, 0);
  const first = written("release");
  assert.equal((await pin("1.2.3")).code, 0);
  assert.equal(written("release"), first);
  for (const key of registry.keys()) registry.set(key, Buffer.from("another"));
  const { code, text } = await pin("1.2.3");
  assert.equal(code, 1);
  assert.match(text, /is there already, with the SHA-256 [0-9a-f]{64}; .* Choose another version/);
});

test("what is no version, and a tarball that cannot be loaded, change nothing", async () => {
  for (const [version, from, why] of [
    ["v1.2", undefined, /`v1\.2` is no version/],
    ["1.2.3", `${url}/none.tgz`, /answers 401/],
    ["1.2.3", "slipway", /is no address/],
  ]) {
    const { code, text } = await pin(version, from);
    assert.equal(code, 1, text);
    assert.match(text, why);
  }
  assert.equal(registry.size, 0);
  for (const template of templates) assert.equal(written(template), read(template));
});
