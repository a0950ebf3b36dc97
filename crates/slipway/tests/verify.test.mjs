// `slipway verify` against depot, which serves real signed APT and YUM repositories, with and without a hand in between.
// Needs `gpgv`, as APT does.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { deb, depot, rpm, serve, sha256, slipway } from "./services.mjs";

const TOKEN = "7e57ed".repeat(8);
const BASIC = { authorization: `Basic ${Buffer.from(`${TOKEN}:`).toString("base64")}` };
const KINDS = { deb: { distro: "ubuntu/jammy", id: "237", filename: "tug_1.0_amd64.deb" }, rpm: { distro: "el/9", id: "240", filename: "tug-1.0-1.x86_64.rpm" } };

let folder;
let server;
let keyring;
const bytes = { deb: deb({ name: "tug", version: "1.0" }), rpm: rpm({ name: "tug", version: "1.0", release: "1", architecture: "x86_64" }) };

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "slipway-verify-"));
  const repos = ["stable", "other"].map((name) => ({ owner: "harbour", name, private: false }));
  server = await depot(folder, { users: [{ name: "harbour", token: TOKEN }], repos });
  for (const [kind, { id, filename }] of Object.entries(KINDS)) {
    const form = new FormData();
    form.append("package[distro_version_id]", id);
    form.append("package[package_file]", new Blob([bytes[kind]]), filename);
    const answer = await fetch(`${server.url}/api/v1/repos/harbour/stable/packages.json`, { method: "POST", headers: BASIC, body: form });
    assert.equal(answer.status, 201, await answer.text());
  }
  keyring = join(folder, "stable.asc");
  await writeFile(keyring, await (await fetch(`${server.url}/harbour/stable/gpgkey`)).text());
});
after(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

/// A manifest of what was pushed, as if it were public at `url`.
const manifest = async (url, kinds = ["deb", "rpm"]) => {
  const packages = kinds.map((kind) => ({
    key: kind,
    pipeline_id: 1,
    release_job: "r",
    file: { filename: KINDS[kind].filename, digest: sha256(bytes[kind]), size: bytes[kind].length },
    staging: { url, repository: "harbour/ci" },
    targets: [{ distro: KINDS[kind].distro, public: { url, repository: "harbour/stable" }, state: "released", since: "2026-11-23T08:15:12.000Z" }],
  }));
  const path = join(folder, `manifest-${Math.random()}.json`);
  const project = { id: 1001, name: "tug" };
  await writeFile(path, JSON.stringify({ project, version: "1.0", sequence: 1, state: "complete", verdict: "", at: "2026-11-23T08:15:12.000Z", pipelines: [], packages }));
  return path;
};

/// What depot serves, changed on its way.
const between = (change) =>
  serve(async ({ path }) => {
    const answer = await fetch(server.url + path, { redirect: "manual" });
    const body = Buffer.from(await answer.arrayBuffer());
    const changed = answer.status === 200 ? change(path, body) : body;
    return changed === null ? { status: 404 } : { status: answer.status, type: "application/octet-stream", stream: (out) => out.end(changed) };
  });

const verify = async (url, more = [], env = {}, kinds) => slipway(["verify", "--timeout", "30", "--manifest", await manifest(url, kinds), ...more], env);

test("what depot serves is right, and signed by the repository's key", async () => {
  // depot's index follows a push after a moment.
  let ended;
  for (let tries = 0; tries < 50; tries += 1) {
    ended = await verify(server.url, ["--keyring", keyring]);
    if (ended.code === 0) break;
  }
  assert.deepEqual({ code: ended.code, err: ended.err }, { code: 0, err: "" }, ended.out);
  assert.match(ended.out, /harbour\/stable {2}ubuntu\/jammy {2}deb amd64: 1 of 1 as they should be, signed\n/);
  assert.match(ended.out, /harbour\/stable {2}el\/9 {2}rpm x86_64: 1 of 1 as they should be, signed\n/);
  assert.match(ended.out, /\n2 files are served with the right bytes, 0 differences\n$/);
});

test("an index that somebody else has signed is a difference", async () => {
  const other = join(folder, "other.asc");
  // Another depot's key: in one, all repositories have the same.
  const home = await mkdtemp(join(folder, "second-"));
  const second = await depot(home, { users: [{ name: "harbour", token: TOKEN }], repos: [{ owner: "harbour", name: "stable", private: false }] });
  await writeFile(other, await (await fetch(`${second.url}/harbour/stable/gpgkey`)).text());
  await second.close();
  const { code, err } = await verify(server.url, ["--keyring", other]);
  assert.equal(code, 5);
  assert.equal(err.match(/the index {2}.*the signature on the index is not good/g)?.length, 2, err);
});

test("an index that is changed on its way is a difference, whichever part of it", async () => {
  const text = (change) => (bytes) => Buffer.from(change(bytes.toString()));
  for (const [end, kinds, change, part] of [
    ["/InRelease", ["deb"], text((head) => head.replace(/^Codename: .*$/m, "$&\nLabel: x")), /signature on the index is not good/],
    ["/repomd.xml", ["rpm"], text((head) => head.replace("</repomd>", "<!-- x --></repomd>")), /signature on the index is not good/],
    ["/repomd.xml.asc", ["rpm"], () => null, /the index is not signed: there is no `\.asc` beside its head/],
  ]) {
    const proxy = await between((path, body) => (path.endsWith(end) ? change(body) : body));
    try {
      const { code, out, err } = await verify(proxy.url, ["--keyring", keyring], {}, kinds);
      assert.equal(code, 5, `${end}\n${out}\n${err}`);
      assert.match(err, part);
    } finally {
      await proxy.close();
    }
  }
});

test("an index that is not there is said to be absent, and never signed", async () => {
  for (const [kind, head] of [["deb", /\/(In)?Release$/], ["rpm", /\/repomd\.xml$/]]) {
    const proxy = await between((path, body) => (head.test(path) ? null : body));
    try {
      for (const more of [["--keyring", keyring], []]) {
        const { code, out, err } = await verify(proxy.url, more, {}, [kind]);
        assert.equal(code, 5, `${out}\n${err}`);
        assert.match(out, /: 0 of 1 as they should be, there is no index\n/);
        assert.match(err, /`tug.*` is not served/);
        assert.doesNotMatch(out, /, signed/);
      }
    } finally {
      await proxy.close();
    }
  }
});

test("an index that says more than what is signed is a difference, though the signature in it is good", async () => {
  const more = `SHA256:\n ${sha256("").slice(7)} 0 main/binary-riscv64/Packages\n\n`;
  const proxy = await between((path, body) => (path.endsWith("/InRelease") ? Buffer.concat([Buffer.from(more), body]) : body));
  try {
    const { code, err } = await verify(proxy.url, ["--keyring", keyring], {}, ["deb"]);
    assert.equal(code, 5, err);
    assert.match(err, /the head of the index says more than what is signed/);
  } finally {
    await proxy.close();
  }
});

test("a keyring that is none, and a machine without gpgv, are told so", async () => {
  const empty = join(folder, "empty.asc");
  await writeFile(empty, "");
  const none = await verify(server.url, ["--keyring", empty]);
  assert.equal(none.code, 2);
  assert.match(none.err, /cannot use the keyring `.*`: it is empty/);
  const without = await verify(server.url, ["--keyring", keyring], { PATH: folder });
  assert.equal(without.code, 1);
  assert.match(without.err, /this machine has no `gpgv`/);
});
