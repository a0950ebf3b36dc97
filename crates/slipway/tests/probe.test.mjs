// `slipway doctor --probe` against depot, which answers as packagecloud is known to answer. What is expected here is what
// documentation, recordings and clients of packagecloud say; where a check finds something else, one of the two is wrong.
// `cargo build -p depot`, `cargo xtask build slipway`, then `node --test crates/slipway/tests/probe.test.mjs`; DEPOT_BIN names
// another depot.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { deb, depot, serve, slipway } from "./services.mjs";

const TOKEN = "5ec2e7".repeat(8);
const ENV = { SLIPWAY_PROBE_TOKEN: TOKEN };
const INDEX_DELAY_MS = 300;

let folder;
before(async () => (folder = await mkdtemp(join(tmpdir(), "slipway-probe-"))));
after(() => rm(folder, { recursive: true }));

/// Runs `test` with a depot that has two empty sandboxes.
const withDepot = async (test) => {
  const data = await mkdtemp(join(folder, "depot-"));
  const repo = (name, isPrivate) => ({ owner: "harbour", name, private: isPrivate });
  const seed = { users: [{ name: "harbour", token: TOKEN }], repos: [repo("sandbox", true), repo("second", false)] };
  const ready = await depot(data, seed);
  try {
    const journal = async () => {
      const { entries } = await (await fetch(`${ready.control}/_control/journal`)).json().then((json) => (Array.isArray(json) ? { entries: json } : json));
      return entries;
    };
    await test({ ...ready, journal, record: join(data, "recording.ndjson") });
  } finally {
    await ready.close();
  }
};

const probe = ({ url, record }, more = [], started) =>
  slipway(["doctor", "--probe", "harbour/sandbox", "--to", "harbour/second", "--url", url, "--record", record, "--timeout", "60", ...more], ENV, started);

const read = async (record) => (await readFile(record, "utf8")).trimEnd().split("\n").map((line) => JSON.parse(line));

const basic = { authorization: `Basic ${Buffer.from(`${TOKEN}:`).toString("base64")}` };

const push = async (url, repository) => {
  const form = new FormData();
  form.append("package[distro_version_id]", "237");
  form.append("package[package_file]", new Blob([deb({ name: "tug", version: "1.0" })]), "tug_1.0_amd64.deb");
  const answer = await fetch(`${url}/api/v1/repos/harbour/${repository}/packages.json`, { method: "POST", headers: basic, body: form });
  assert.equal(answer.status, 201, await answer.text());
};

const packages = async (url, repository) => {
  const answer = await fetch(`${url}/api/v1/repos/harbour/${repository}/packages.json`, { headers: basic });
  return (await answer.json()).map(({ filename }) => filename);
};

/// What is known of packagecloud: check, verdict, what is found.
const EXPECTED = [
  ["wrong-token", "holds", /^401: \{"error":"Unauthenticated"\}$/],
  ["unseen-repository", "holds", /^404: \{"error":"not_found"\}$/],
  ["distributions", "holds", /^ubuntu\/jammy 237, el\/9 240; /],
  ["push-deb", "holds", /^201, `slipway-probe_0\.0\.1-1_amd64\.deb`$/],
  ["push-rpm", "holds", /^201, `slipway-probe-0\.0\.1-1\.x86_64\.rpm`$/],
  ["indexed-after-push", "answered", /^false$/],
  ["push-rpm-to-another-distro", "holds", /^201, /],
  ["digest", "holds", /^both are right/],
  ["push-equal-again", "holds", /^422: \{"filename":\["has already been taken"\]\}$/],
  ["push-other-bytes", "holds", /^deb 422: .*has already been taken.*; rpm 422: .*has already been taken.*; the first bytes are there$/],
  ["same-name-elsewhere", "holds", /^201; each has its own bytes$/],
  ["push-under-another-name", "answered", /^its own$/],
  ["search", "holds", /^a part finds it: true; nothing of other distro versions: true; nothing else: true$/],
  ["one-page", "holds", /^no `Link`, `Total` 5, `Per-Page` 250$/],
  ["pages", "holds", /^1 package, `Total` 5, a next page: true, without a credential$/],
  ["per-page", "holds", /^`Per-Page` 250, `Max-Per-Page` 250$/],
  ["show", "holds", /^200, the size as text, and in lists: null$/],
  ["download", "holds", /^302 to another host, which answers 200 with the right bytes: true$/],
  ["download-with-credential", "answered", /^4\d\d$/],
  ["delete-missing", "holds", /^(404|422): \{"filename":\["not found"\]\}$/],
  ["delete", "holds", /^200: \{\}; listed afterwards: false; other bytes under the name: 201$/],
  ["delete-dotted", "holds", /^no: the plain name was answered 200: \{\}$/],
  ["push-chunked", "answered", /^201$/],
  ["private", "answered", /^true$/],
  ["promote", "holds", /^201 after \d+ ms; the source has it: false; the destination has the same bytes: true$/],
  // The recorded answer is stale: the destination is public.
  ["promote-private", "answered", /^the answer true, the list afterwards false$/],
  ["promote-taken", "holds", /^422: \{"filename":\["has already been taken"\]\}; the destination keeps its bytes$/],
  ["promote-taken-source", "answered", /^yes$/],
  ["promote-equal", "answered", /^422: .*; the source has it: true; the destination has it: true$/],
  ["promote-missing", "holds", /^404: /],
  ["promote-unseen", "holds", /^404: \{"error":"not_found"\}; the source keeps its file: true$/],
  ["index-delay", "answered", /^within [\d.]+ s; the index has it then: yes$/],
  ["read-only-user", "not-asked", /second user/],
  ["large", "not-asked", /1 KB/],
];

test("depot answers every question as packagecloud is known to", async () =>
  withDepot(async (depot) => {
    await fetch(`${depot.control}/_control/index-delay`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ms: INDEX_DELAY_MS }) });
    const { code, out, err } = await probe(depot, ["--json"]);
    assert.equal(code, 0, err);
    const verdicts = JSON.parse(out);
    assert.deepEqual(verdicts.map(({ check }) => check), EXPECTED.map(([check]) => check));
    for (const [index, [check, verdict, found]] of EXPECTED.entries()) {
      assert.equal(verdicts[index].verdict, verdict, `${check}: ${verdicts[index].found}`);
      assert.match(verdicts[index].found, found, check);
    }
    for (const repository of ["sandbox", "second"]) assert.deepEqual(await packages(depot.url, repository), [], repository);
  }));

test("the recording has date, place, every question and exchange, and no secret", async () =>
  withDepot(async (depot) => {
    assert.equal((await probe(depot)).code, 0);
    const text = await readFile(depot.record, "utf8");
    const [head, ...outcomes] = await read(depot.record);
    assert.match(head.date, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.deepEqual({ server: head.server, repository: head.repository, to: head.to, left: head.left }, { server: depot.url, repository: "harbour/sandbox", to: "harbour/second", left: [] });
    assert.deepEqual(outcomes.map(({ check }) => check), EXPECTED.map(([check]) => check));
    const pushed = outcomes.find(({ check }) => check === "push-deb").exchanges[0];
    assert.deepEqual([pushed.request.method, pushed.request.path, pushed.status], ["POST", "/api/v1/repos/harbour/sandbox/packages.json", 201]);
    assert.match(pushed.request.body, /^package\[distro_version_id\]=237, package\[package_file\]: `slipway-probe_0\.0\.1-1_amd64\.deb`, \d+ bytes$/);
    assert.match(pushed.body.sha256sum, /^[0-9a-f]{64}$/);
    // As lists give them, and as they may be shown.
    const listed = await (await fetch(`${depot.url}/api/v1/repos/harbour/second/packages.json`, { headers: basic })).json();
    assert.deepEqual(listed, []);
    for (const secret of [TOKEN, basic.authorization.slice(6)]) assert.ok(!text.includes(secret));
    const queries = [...text.matchAll(/[?&]([a-z_]+)=([^&"\\>]*)/gi)].map(([, name, value]) => `${name}=${value}`);
    const shown = queries.filter((query) => !/^(page|per_page|q|dist|filter|destination)=/.test(query));
    assert.ok(shown.length > 0 && shown.every((query) => query.endsWith("=[hidden]")), shown.join());
    assert.doesNotMatch(text.replaceAll(/"(md5|sha1|sha256|sha512)sum":"[0-9a-f]+"/g, "").replaceAll(/"(etag|x-request-id)":"[^,]+"/g, ""), /[0-9a-f]{32}/);
  }));

test("a repository with anything else in it is no sandbox: exit 2, and nothing is written", async () => {
  for (const repository of ["sandbox", "second"]) {
    await withDepot(async (depot) => {
      await push(depot.url, repository);
      const before = (await depot.journal()).length;
      const { code, err } = await probe(depot);
      assert.equal(code, 2);
      assert.match(err, new RegExp(`harbour/${repository} is no sandbox: it has \`tug_1\\.0_amd64\\.deb\` for ubuntu/jammy`));
      assert.equal((await depot.journal()).length, before);
    });
  }
});

test("a repository whose contents cannot be read is no sandbox", async () =>
  withDepot(async (depot) => {
    const words = ["doctor", "--probe", "harbour/nothing", "--url", depot.url, "--record", depot.record];
    const { code, err } = await slipway(words, ENV);
    assert.equal(code, 1);
    assert.match(err, /harbour\/nothing: its list of packages is answered with 404/);
    assert.deepEqual(await depot.journal(), []);
  }));

/// A server in front of depot that changes some of its answers.
const changed = (depot, change, begin = () => {}) =>
  serve(async ({ method, path, query, headers, body }) => {
    begin({ method, path });
    const { host, connection, "content-length": _, "transfer-encoding": __, ...kept } = headers;
    const search = new URLSearchParams(query).toString();
    const answer = await fetch(`${depot.url}${path}${search && `?${search}`}`, { method, headers: kept, body: body.length ? body : undefined, redirect: "manual" });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const { "content-length": ___, "content-encoding": ____, ...given } = Object.fromEntries(answer.headers);
    return change({ status: answer.status, headers: given, type: given["content-type"], stream: (outgoing) => outgoing.end(bytes) }, { method, path });
  });

test("a server that is not as Slipway relies on is exit 6, and each finding is named", async () =>
  withDepot(async (depot) => {
    const front = await changed(depot, (reply) => (reply.status === 422 ? { ...reply, status: 409 } : reply));
    try {
      const { code, err } = await probe({ ...depot, url: front.url });
      assert.equal(code, 6);
      assert.match(err, /is not as Slipway relies on\n/);
      assert.match(err, /\n {2}push-equal-again: 409: .*; Slipway relies on: 422, in words that say the name is taken\n/);
      const [, ...outcomes] = await read(depot.record);
      const contradicting = outcomes.filter(({ verdict }) => verdict === "contradicts").map(({ check }) => check);
      assert.deepEqual(contradicting, ["push-equal-again", "push-other-bytes"]);
      assert.deepEqual(await packages(depot.url, "sandbox"), []);
    } finally {
      await front.close();
    }
  }));

test("a probe that was killed leaves packages that the next one deletes", async () =>
  withDepot(async (depot) => {
    let child;
    const killing = ({ method, path }) => method === "POST" && path.endsWith("/promote.json") && child.kill("SIGKILL");
    const front = await changed(depot, (reply) => reply, killing);
    try {
      assert.equal((await probe({ ...depot, url: front.url }, [], (started) => (child = started))).code, null);
    } finally {
      await front.close();
    }
    assert.notDeepEqual(await packages(depot.url, "sandbox"), []);
    const { code, out } = await probe(depot);
    assert.equal(code, 0);
    assert.match(out, /left behind: nothing/);
    for (const repository of ["sandbox", "second"]) assert.deepEqual(await packages(depot.url, repository), [], repository);
  }));

test("without a token nothing is asked", async () => {
  const { code, err } = await slipway(["doctor", "--probe", "harbour/sandbox", "--url", "http://127.0.0.1:9"]);
  assert.equal(code, 2);
  assert.match(err, /`SLIPWAY_PROBE_TOKEN` is not set/);
});
