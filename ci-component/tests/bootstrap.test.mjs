// How a job gets the command: what the templates' own lines do, in a shell, with a server on loopback.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bootstrap, templates } from "./bootstrap.mjs";

let folder, server, url, tarball, sha256;
const asked = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "slipway-bootstrap-"));
  mkdirSync(join(folder, "package/bin"), { recursive: true });
  mkdirSync(join(folder, "tmp"));
  writeFileSync(join(folder, "package/bin/slipway.mjs"), "console.log(`the command was told ${process.argv.slice(2)}`);\n");
  execFileSync("tar", ["-czf", "slipway.tgz", "package"], { cwd: folder });
  tarball = readFileSync(join(folder, "slipway.tgz"));
  sha256 = createHash("sha256").update(tarball).digest("hex");
  server = http.createServer((request, answer) => {
    asked.push({ path: request.url, authorization: request.headers.authorization });
    if (request.url === "/cut.tgz") return answer.writeHead(200, { "content-length": tarball.length }).write(tarball.subarray(0, 9), () => answer.destroy());
    if (request.url === "/moved.tgz") return answer.writeHead(302, { location: "/slipway.tgz" }).end();
    if (request.url === "/foreign.tgz") return answer.writeHead(302, { location: `http://localhost:${server.address().port}/slipway.tgz` }).end();
    if (request.url.endsWith("/slipway.tgz")) return answer.end(tarball);
    answer.writeHead(404).end("no");
  });
  await new Promise((listening) => server.listen(0, listening));
  url = `http://127.0.0.1:${server.address().port}`;
});
after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

// Runs a job: the templates' lines, and then the script of a job.
function job(variables, script = "$SLIPWAY status") {
  asked.length = 0;
  const env = { PATH: process.env.PATH, TMPDIR: join(folder, "tmp"), SLIPWAY_URL: url, ...variables };
  const shell = spawn("bash", ["-eo", "pipefail", "-c", `${bootstrap("release")}\n${script}`], { env });
  let text = "";
  for (const stream of [shell.stdout, shell.stderr]) stream.on("data", (piece) => (text += piece));
  return new Promise((ended) => shell.on("close", (code) => ended({ code, text, left: readdirSync(join(folder, "tmp")) })));
}

test("every template gets the command in the same way", () => {
  for (const template of templates) assert.equal(bootstrap(template), bootstrap("release"), template);
});

test("unless told otherwise, a job runs the command that its Slipway serves, and leaves nothing of it behind", async () => {
  const { code, text, left } = await job({});
  assert.equal(code, 0, text);
  assert.match(text, /the command was told status/);
  assert.match(text, new RegExp(`slipway from ${url}/slipway.tgz, SHA-256 ${sha256}`));
  assert.deepEqual(left, []);
});

test("a tarball with the SHA-256 that was asked for is run, wherever it comes from", async () => {
  const { code, text } = await job({ SLIPWAY_FROM: `${url}/moved.tgz`, SLIPWAY_SHA256: sha256 });
  assert.equal(code, 0, text);
  assert.match(text, /the command was told status/);
});

test("a tarball with another SHA-256 is not run, and both are shown", async () => {
  const wanted = "0".repeat(64);
  const { code, text, left } = await job({ SLIPWAY_SHA256: wanted });
  assert.equal(code, 1, text);
  assert.doesNotMatch(text, /was told/);
  assert.match(text, new RegExp(`${url}/slipway.tgz has the SHA-256 ${sha256}, and slipway-sha256 asks for ${wanted}`));
  assert.deepEqual(left, []);
});

test("what is missing, breaks off, is sent elsewhere or has no server is named, and nothing is run", async () => {
  for (const [from, why] of [
    [`${url}/none.tgz`, /none\.tgz answers 404/],
    [`${url}/cut.tgz`, /cut\.tgz breaks off/],
    [`${url}/moved.tgz`, /moved\.tgz cannot be loaded: unexpected redirect/],
    ["http://127.0.0.1:9/slipway.tgz", /127\.0\.0\.1:9\/slipway\.tgz cannot be loaded/],
    ["http://slipway.example.com/slipway.tgz", /is not https, so anybody on the way could change it/],
  ]) {
    const { code, text } = await job({ SLIPWAY_FROM: from });
    assert.equal(code, 1, `${from}: ${text}`);
    assert.match(text, why);
    assert.doesNotMatch(text, /was told/);
  }
});

test("a command that the image has is run as it is, and nothing is loaded", async () => {
  const own = join(folder, "own");
  writeFileSync(own, '#!/bin/sh\necho "the image\'s own: $*"\n');
  chmodSync(own, 0o755);
  const { code, text } = await job({ SLIPWAY_FROM: `${own} --json` });
  assert.equal(code, 0, text);
  assert.match(text, /the image's own: --json status/);
  assert.deepEqual(asked, []);
});

test("the job's token goes to GitLab's own registry, to no other address, and not on to another host", async () => {
  const token = { CI_API_V4_URL: `${url}/api/v4`, CI_JOB_TOKEN: "glcbt-1" };
  await job({ ...token, SLIPWAY_FROM: `${url}/api/v4/slipway.tgz` });
  assert.deepEqual(asked, [{ path: "/api/v4/slipway.tgz", authorization: `Basic ${btoa("gitlab-ci-token:glcbt-1")}` }]);
  await job({ ...token, SLIPWAY_FROM: `${url}/slipway.tgz` });
  assert.deepEqual(asked, [{ path: "/slipway.tgz", authorization: undefined }]);
  await job({ CI_API_V4_URL: url, CI_JOB_TOKEN: "glcbt-1", SLIPWAY_FROM: `${url}/foreign.tgz`, SLIPWAY_SHA256: sha256 });
  assert.deepEqual(asked.map(({ path, authorization }) => [path, authorization !== undefined]), [["/foreign.tgz", true], ["/slipway.tgz", false]]);
});
