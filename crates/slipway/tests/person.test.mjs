// The built command as people run it, and what it says of the public: sign-in, playing jobs, holds, waiting, audits.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { GITLAB_TOKEN, OPERATOR_TOKEN, PERSON_TOKEN, SESSION, STAGING_TOKEN, edge, entry, gitlab, packageServer, problem, serve, sha256, slipway } from "./services.mjs";

let folder;
before(async () => (folder = await mkdtemp(join(tmpdir(), "slipway-person-"))));
after(() => rm(folder, { recursive: true }));

const using = async (services, test) => {
  try {
    await test(...services);
  } finally {
    await Promise.all(services.map((service) => service.close()));
  }
};

/// The environment of a person at a terminal, with an empty home.
const person = async (edge, gitlab, more = {}) => {
  const XDG_CONFIG_HOME = await mkdtemp(join(folder, "home-"));
  const base = { SLIPWAY_URL: edge.url, SLIPWAY_PROJECT: "1001", SLIPWAY_VERSION: "1.2.0", XDG_CONFIG_HOME };
  return { ...base, ...(gitlab && { SLIPWAY_GITLAB_URL: gitlab.url, SLIPWAY_GITLAB_TOKEN: GITLAB_TOKEN }), ...more };
};

/// An edge whose targets become `released` as soon as the job that releases them was played.
const releasing = (packages) => edge({ packages, script: ({ method }, release) => void (method === "GET" && (release.sequence += 1)) });
const released = (edge) => (job) => {
  const key = job.name.match(/\[(.+)\]/)[1];
  for (const target of edge.release.packages.find((entry) => entry.key === key).targets) target.state = "released";
};
const file = { filename: "tug_1.2.0-1_amd64.deb", digest: sha256("tug"), size: 3 };
const staged = (key, state = "staged") => ({ ...entry(key, { "ubuntu/jammy": state }), file });

test("a person's release plays the manual jobs with their own token, and follows them", async () => {
  const edge = await releasing([staged("a"), staged("b"), staged("c", "released")]);
  const jobs = { 5: ["a", "b", "c"].map((key) => ({ name: `release: [${key}]`, status: "manual" })) };
  await using([edge, await gitlab({ jobs, played: released(edge) })], async (edge, gitlab) => {
    const { code, out, err } = await slipway(["release", "--all"], await person(edge, gitlab));
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.deepEqual(gitlab.acts(), ["/jobs/101/play", "/jobs/102/play"]);
    assert.match(out, /a {2}job 101 is played: https:\/\/gitlab\.invalid\/-\/jobs\/101\n/);
    assert.match(out, /c {2}nothing to do: it is released/);
    assert.match(out, /released: `a`, `b`\n$/);
    // The edge is never asked to release anything for a person.
    assert.ok(edge.requests.every(({ method }) => method === "GET"));
  });
});

test("a job that has run is run again, and one that runs is only followed", async () => {
  const edge = await releasing([staged("ran", "failed"), staged("runs", "staged")]);
  const jobs = { 5: [{ name: "release: [ran]", status: "failed" }, { name: "release: [runs]", status: "running" }] };
  const gitlabs = await gitlab({ jobs, played: (job) => (released(edge)(job), released(edge)({ name: "release: [runs]" })) });
  await using([edge, gitlabs], async (edge, gitlab) => {
    const { code, out } = await slipway(["release", "ran", "runs"], await person(edge, gitlab));
    assert.equal(code, 0, out);
    assert.deepEqual(gitlab.acts(), ["/jobs/101/retry"]);
    assert.match(out, /ran {2}job 103 is run again/);
    assert.match(out, /runs {2}job 102 is already under way/);
  });
});

test("jobs of several versions are played by one command", async () => {
  const releases = { "1.2.0": [staged("a")], "1.3.0": [staged("a"), staged("b")] };
  for (const package_ of releases["1.3.0"]) package_.pipeline_id = 6;
  const script = ({ method, path }, release) => {
    const version = path.match(/\/releases\/([^/]+)$/)?.[1];
    if (method !== "GET" || !version) return;
    return { json: { ...release, version, sequence: (release.sequence += 1), packages: releases[version] } };
  };
  const jobs = { 5: [{ name: "release: [a]", status: "manual" }], 6: ["a", "b"].map((key) => ({ name: `release: [${key}]`, status: "manual" })) };
  const played = (job) => {
    const version = job.pipeline === "5" ? "1.2.0" : "1.3.0";
    for (const { key, targets } of releases[version]) if (job.name === `release: [${key}]`) targets[0].state = "released";
  };
  await using([await edge({ script }), await gitlab({ jobs, played })], async (edge, gitlab) => {
    const { code, out, err } = await slipway(["release", "a", "b@1.3.0", "--version", "1.2.0", "--version", "1.3.0"], await person(edge, gitlab));
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.deepEqual(gitlab.acts().sort(), ["/jobs/101/play", "/jobs/102/play", "/jobs/103/play"]);
    assert.match(out, /^1\.2\.0 {2}released: `a`$/m);
    assert.match(out, /^1\.3\.0 {2}released: `a`, `b`$/m);
  });
});

test("what cannot be played is named with its reason, and the others are released", async () => {
  const packages = [staged("good"), staged("early"), staged("late", "expected"), staged("gated"), staged("odd")];
  packages[3].blocked = [{ gate: "soak", why: "It has been staged for 3 h of 24 h.", until: "2026-11-24T08:00:00.000Z" }];
  const edge = await releasing(packages);
  const status = { early: "created", odd: "manual" };
  const jobs = { 5: ["good", "early", "late", "gated", "odd"].map((key) => ({ name: `release: [${key}]`, status: status[key] ?? "manual" })) };
  const script = ({ path }) => path.endsWith("/jobs/105/play") && { status: 400, json: { message: "400 Bad request - Unplayable Job" }, type: "application/json" };
  await using([edge, await gitlab({ jobs, script, played: released(edge) })], async (edge, gitlab) => {
    const { code, out, err } = await slipway(["release", "--all"], await person(edge, gitlab));
    assert.equal(code, 1);
    assert.match(out, /^released: `good`$/m);
    assert.match(err, /early {2}not played: its job 102 cannot be played yet: it is `created`, since an earlier job/);
    assert.match(err, /late {2}not played: ubuntu\/jammy: Not staged yet/);
    assert.match(err, /gated {2}not played: soak: It has been staged for 3 h of 24 h\. Next: wait until then, and play the release job\./);
    assert.match(err, /odd {2}not played: .*Unplayable Job.*GitLab says that job 105 is not playable though it is `manual`/);
    assert.deepEqual(gitlab.acts().sort(), ["/jobs/101/play", "/jobs/105/play"]);
  });
});

test("a job that fails before anything moves ends the command with its address", async () => {
  const edge = await releasing([staged("a")]);
  const jobs = { 5: [{ name: "release: [a]", status: "manual" }] };
  const gitlabs = await gitlab({ jobs, played: (job) => (job.status = "failed") });
  await using([edge, gitlabs], async (edge, gitlab) => {
    const { code, err } = await slipway(["release", "a"], await person(edge, gitlab));
    assert.equal(code, 1);
    assert.match(err, /a {2}its job 101 ended as failed, and nothing of it moved; its log says why: https:\/\/gitlab\.invalid\/-\/jobs\/101/);
  });
});

test("a dry run says what would be done and what is in the way, and writes nothing", async () => {
  const packages = [staged("a"), staged("b", "conflict")];
  const jobs = { 5: [{ name: "release: [a]", status: "manual" }] };
  await using([await releasing(packages), await gitlab({ jobs })], async (edge, gitlab) => {
    const variables = await person(edge, gitlab);
    const both = await slipway(["release", "--all", "--dry-run"], variables);
    assert.equal(both.code, 1);
    assert.match(both.out, /a {2}tug_1\.2\.0-1_amd64\.deb {2}3 B {2}sha256:[0-9a-f]{64}\n {2}ubuntu\/jammy .* harbour\/stable {2}Staged: would be copied\n {2}by the job 101/);
    assert.match(both.err, /b {2}ubuntu\/jammy: Conflict/);
    assert.equal((await slipway(["release", "a", "--dry-run"], variables)).code, 0);
    assert.deepEqual([gitlab.acts(), edge.requests.filter(({ method }) => method !== "GET")], [[], []]);
  });
});

test("without a token that plays jobs, a person is told how to get one, and nothing is sent", async () =>
  using([await releasing([staged("a")])], async (edge) => {
    const { code, err } = await slipway(["release", "a"], await person(edge));
    assert.equal(code, 2);
    assert.match(err, /run `slipway login --api`, or set `SLIPWAY_GITLAB_TOKEN`/);
  }));

/// Signs in at an edge that knows its GitLab. Gives the environment.
const signedIn = async (edge, words = []) => {
  const variables = await person(edge);
  const { code, out, err } = await slipway(["login", ...words], variables);
  assert.equal(code, 0, err);
  return { variables, out };
};
/// Signs in long ago: the token has expired, and the one that it is exchanged for has not.
const expired = async (edge) => {
  const { variables } = await signedIn(edge);
  const path = join(variables.XDG_CONFIG_HOME, "slipway", "credentials.json");
  const kept = async () => JSON.parse(await readFile(path, "utf8"));
  const before = await kept();
  Object.assign(before[edge.url], { access_token: "old", refresh_token: "refresh-1", expires_at: "2020-01-01T00:00:00.000Z" });
  await writeFile(path, JSON.stringify(before));
  return { variables, refreshToken: async () => (await kept())[edge.url].refresh_token };
};
const withSignIn = async (options, gitlabs, more = () => {}) =>
  edge({ ...options, script: (request, release) => (request.path === "/api/v1/sign-in" ? { json: { gitlab: gitlabs.url, application: "app-1" } } : more(request, release)) });

test("a person signs in with a code, and the token is kept for its owner alone", async () => {
  const gitlabs = await gitlab();
  await using([gitlabs, await withSignIn({ packages: [staged("a", "released")] }, gitlabs)], async (gitlab, edge) => {
    const { variables, out } = await signedIn(edge);
    assert.match(out, new RegExp(`open {4}${gitlab.url}/oauth/device\\ncode {4}ABCD1234\\n`));
    const path = join(variables.XDG_CONFIG_HOME, "slipway", "credentials.json");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const [asked] = gitlab.requests;
    assert.equal(asked.body.toString(), "client_id=app-1&scope=read_user");
    // Signed in at one Slipway, its address need not be said again.
    const { SLIPWAY_URL, ...without } = variables;
    const held = await slipway(["hold", "a", "--reason", "a bad build", "--json"], without);
    assert.equal(held.code, 0, held.err);
    const [session, hold] = edge.requests.slice(-2);
    assert.deepEqual(session.json, { access_token: PERSON_TOKEN });
    assert.deepEqual([hold.method, hold.path, hold.json], ["POST", "/api/v1/projects/1001/releases/1.2.0/holds", { keys: ["a"], reason: "a bad build" }]);
    assert.equal(hold.headers.authorization, `Bearer ${SESSION}`);
    assert.match(held.err, /public already {2}a {2}ubuntu\/jammy {2}harbour\/stable/);

    const logout = await slipway(["logout"], variables);
    assert.deepEqual([logout.code, logout.err], [0, ""]);
    assert.match(logout.out, /^signed out of .*; GitLab has taken the token back\n$/);
    assert.equal((await readFile(path, "utf8")).includes(PERSON_TOKEN), false);
    assert.deepEqual(gitlab.revoked, ["refresh-2", PERSON_TOKEN].map((token) => ({ client_id: "app-1", token })));
    const [shown, over] = edge.requests.slice(-2);
    assert.deepEqual([shown.method, over.method, over.path], ["POST", "DELETE", "/api/v1/sessions"]);
    assert.equal(over.headers.authorization, `Bearer ${SESSION}`);
    const { code, err } = await slipway(["hold", "--reason", "again"], variables);
    assert.equal(code, 2);
    assert.match(err, /nobody is signed in: run `slipway login`/);
  });
});

test("whoever cannot be told of a sign-out is named, and the token is not kept all the same: exit 1", async () => {
  for (const [gitlabIsThere, edgeIsThere, said, unsaid] of [
    [false, true, /GitLab has not taken the token back: [^]*revoke Slipway under http:\/\/127\.0\.0\.1:\d+\/-\/user_settings\/applications/, /Slipway was not told/],
    [true, false, /Slipway was not told, so a session of up to 8 hours may go on/, /GitLab has not taken/],
    [false, false, /Slipway was not told[^]*GitLab has not taken the token back/, /never/],
  ]) {
    const gitlabs = await gitlab({ pending: 0 });
    const edges = await withSignIn({}, gitlabs);
    const { variables } = await signedIn(edges);
    const path = join(variables.XDG_CONFIG_HOME, "slipway", "credentials.json");
    assert.equal((await readFile(path, "utf8")).includes(PERSON_TOKEN), true);
    if (!gitlabIsThere) await gitlabs.close();
    if (!edgeIsThere) await edges.close();
    const { code, err } = await slipway(["logout"], variables);
    if (gitlabIsThere) await gitlabs.close();
    if (edgeIsThere) await edges.close();
    assert.equal(code, 1);
    assert.match(err, /signed out of .* on this machine alone/);
    assert.match(err, said);
    assert.doesNotMatch(err, unsaid);
    assert.equal((await readFile(path, "utf8")).includes(PERSON_TOKEN), false);
  }
});

test("a token that has expired is exchanged without asking the person, and the new one is kept", async () => {
  const gitlabs = await gitlab({ pending: 0 });
  await using([gitlabs, await withSignIn({}, gitlabs)], async (gitlab, edge) => {
    const { variables, refreshToken } = await expired(edge);
    assert.equal((await slipway(["close", "--reason", "given up"], variables)).code, 0);
    assert.deepEqual(gitlab.requests.at(-1).form, { client_id: "app-1", grant_type: "refresh_token", refresh_token: "refresh-1" });
    assert.equal(await refreshToken(), "refresh-2");
  });
});

test("two commands of one person exchange an expired token at once, and both go on with the one that was given", async () => {
  let asked = 0;
  let arrived;
  const both = new Promise((resolve) => (arrived = resolve));
  // A refresh token is good once: whoever comes second is refused, before the first one has heard of it.
  const exchange = async () => {
    const isFirst = ++asked === 1;
    if (!isFirst) arrived();
    await both;
    if (!isFirst) return { status: 400, json: { error: "invalid_grant" }, type: "application/json" };
    return { json: { access_token: PERSON_TOKEN, refresh_token: "refresh-2", expires_in: 7200, token_type: "Bearer" } };
  };
  const script = ({ body }) => body.toString().includes("refresh-1") && exchange();
  const gitlabs = await gitlab({ pending: 0, script });
  await using([gitlabs, await withSignIn({}, gitlabs)], async (_, edge) => {
    const { variables, refreshToken } = await expired(edge);
    const words = ["hold", "--reason", "crashes on start"];
    const ended = await Promise.all([slipway(words, variables), slipway(words, variables)]);
    assert.deepEqual(ended.map(({ code, err }) => (code === 0 ? "" : err)), ["", ""]);
    assert.equal(asked, 2);
    assert.equal(await refreshToken(), "refresh-2");
    assert.equal(edge.requests.filter(({ path }) => path.endsWith("/holds")).length, 2);
  });
});

test("an exchange that GitLab refuses, and that nobody else has made, asks to sign in again", async () => {
  const script = ({ path, body }) => path === "/oauth/token" && body.toString().includes("refresh_token") && { status: 400, json: { error: "invalid_grant" }, type: "application/json" };
  const gitlabs = await gitlab({ pending: 0, script });
  await using([gitlabs, await withSignIn({}, gitlabs)], async (_, edge) => {
    const { variables, refreshToken } = await expired(edge);
    const { code, err } = await slipway(["hold", "--reason", "crashes on start"], variables);
    assert.equal(code, 1);
    assert.match(err, /GitLab does not prolong it: invalid_grant[^]*Run `slipway login` again/);
    assert.equal(await refreshToken(), "refresh-1");
  });
});

test("a person who refuses the device is told so, and one who does not come is exit 4", async () => {
  for (const [error, expected] of [["access_denied", 1], ["expired_token", 4], ["invalid_client", 1]]) {
    const script = ({ path }) => path === "/oauth/token" && { status: 400, json: { error }, type: "application/json" };
    const gitlabs = await gitlab({ script });
    await using([gitlabs, await withSignIn({}, gitlabs)], async (_, edge) => {
      assert.equal((await slipway(["login"], await person(edge))).code, expected, error);
    });
  }
});

test("an override is asked for with its reason before the job is played, and a hold is not overridden", async () => {
  const packages = [staged("a")];
  packages[0].blocked = [{ gate: "soak", why: "Too early." }, { gate: "hold", why: "Held." }];
  const gitlabs = await gitlab({ pending: 0, jobs: { 5: [{ name: "release: [a]", status: "manual" }] } });
  const more = ({ method, path }, release) => {
    if (method === "POST" && path.endsWith("/overrides")) release.packages[0].blocked = [{ gate: "hold", why: "Held." }];
  };
  await using([gitlabs, await withSignIn({ packages }, gitlabs, more)], async (gitlab, edge) => {
    const { variables } = await signedIn(edge, ["--api"]);
    assert.match(gitlab.requests[0].body.toString(), /scope=read_user%20api$/);
    const { code, out, err } = await slipway(["release", "a", "--override", "security fix"], variables);
    assert.equal(code, 1);
    assert.match(out, /overridden for `a`: soak/);
    assert.match(err, /a {2}not played: hold: Held\./);
    const asked = edge.requests.find(({ path }) => path.endsWith("/overrides"));
    assert.deepEqual(asked.json, { keys: ["a"], gates: ["soak"], reason: "security fix" });
    assert.ok(!gitlab.acts().some((act) => act.endsWith("/play")));
  });
});

test("in a job, all that remain are asked for; what is refused is named, and the others are followed", async () => {
  const packages = [staged("a"), staged("b"), staged("c")];
  const taken = "`c` is not released: its name had other bytes in 1.1.0. Release it under another version.";
  const script = ({ method, path, json }, release) => {
    if (!path.endsWith("/promotions")) return;
    assert.deepEqual(json, { all: true });
    release.packages[0].targets[0].state = "released";
    const refused = [{ key: "b", kind: "gate-closed", why: "It is not deployed to production." }, { key: "c", kind: "name-taken", why: taken }];
    return { status: 202, json: { keys: ["a"], refused, follow: "/x" } };
  };
  await using([await edge({ packages, script })], async (edge) => {
    const { code, out, err } = await slipway(["release", "--all"], edge.variables);
    assert.equal(code, 1);
    assert.match(out, /approved: `a`\nb {2}not approved: It is not deployed to production\.\nc {2}not approved: [^]*released: `a`\n/);
    assert.equal(err, `slipway: cannot release all that remain of 1.2.0\n  b  not approved: It is not deployed to production.\n  c  not approved: ${taken}\n`);
  });
});

test("played again when nothing remains, a release of all is green", async () => {
  const script = ({ path }) => path.endsWith("/promotions") && { status: 202, json: { keys: [], follow: "/x" } };
  await using([await edge({ packages: [staged("a", "released")], script })], async (edge) => {
    const { code, out } = await slipway(["release", "--all"], edge.variables);
    assert.deepEqual({ code, out }, { code: 0, out: "nothing remains to be released\n" });
  });
});

test("await ends as soon as the release is so far, also when its plan comes later", async () => {
  const states = ["none", "expected", "expected", "staged"];
  const script = ({ method }, release) => {
    if (method !== "GET") return;
    const state = states.length > 1 ? states.shift() : states[0];
    if (state === "none") return problem(404, "No such release", "There is no release 1.2.0.");
    Object.assign(release, { state, verdict: `it is ${state}`, sequence: release.sequence + 1 });
  };
  await using([await edge({ script })], async (edge) => {
    const { code, out, err } = await slipway(["await", "staged"], edge.variables);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.equal(out, "Slipway knows no release 1.2.0 yet; waiting until a pipeline plans it\nit is expected\nit is staged\nthe release 1.2.0 is staged\n");
  });
});

test("await that times out is exit 4 and names what is late; a closed release never comes", async () => {
  const packages = [staged("a"), staged("b", "expected")];
  const states = { state: "expected" };
  const script = (_, release) => void Object.assign(release, states);
  await using([await edge({ packages, script })], async (edge) => {
    const late = await slipway(["await", "staged", "--timeout", "0"], edge.variables);
    assert.equal(late.code, 4);
    assert.match(late.err, /the release 1\.2\.0 is not staged\n {2}b {2}ubuntu\/jammy {2}Not staged yet, since 2026-11-23T08:15:12\.000Z\n/);
    assert.ok(!late.err.includes("  a  "), late.err);
    states.state = "closed";
    const closed = await slipway(["await", "complete"], edge.variables);
    assert.equal(closed.code, 1);
    assert.match(closed.err, /It is closed/);
  });
});

/// An APT repository of one suite that serves these files, by name and bytes.
const apt = (files) => {
  const stanza = ([filename, digest]) => `Package: tug\nArchitecture: amd64\nVersion: 1\nFilename: pool/${filename}\nSize: 3\nSHA256: ${digest.slice(7)}\n`;
  const list = Object.entries(files).map(stanza).join("\n");
  const hash = createHash("sha256").update(list).digest("hex");
  const head = `Origin: x\nSuite: jammy\nCodename: jammy\nArchitectures: amd64\nComponents: main\nSHA256:\n ${hash} ${list.length} main/binary-amd64/Packages\n`;
  const text = (body) => ({ stream: (out) => out.end(body), type: "text/plain" });
  return serve(({ path, headers }) => {
    if (headers.authorization) return { status: 500 };
    if (path === "/harbour/stable/ubuntu/dists/jammy/Release") return text(head);
    if (path === "/harbour/stable/ubuntu/dists/jammy/main/binary-amd64/Packages") return text(list);
    return { status: 404 };
  });
};

test("verify reads the public index without a secret, and exit 5 names every difference", async () => {
  const server = await apt({ "right_1_amd64.deb": sha256("right"), "wrong_1_amd64.deb": sha256("other"), "early_1_amd64.deb": sha256("early") });
  const package_ = (key, state) => {
    const made = entry(key, { "ubuntu/jammy": state });
    made.targets[0].public = { url: server.url, repository: "harbour/stable" };
    return { ...made, file: { filename: `${key}_1_amd64.deb`, digest: sha256(key), size: 5 } };
  };
  const release = (packages) => ({ project: { id: 1001, name: "tug" }, version: "1.2.0", sequence: 1, state: "staged", verdict: "", at: "2026-11-23T08:15:12.000Z", pipelines: [], packages });
  await using([server], async () => {
    const manifest = join(folder, "manifest.json");
    await writeFile(manifest, JSON.stringify(release([package_("right", "released")])));
    const good = await slipway(["verify", "--manifest", manifest]);
    assert.deepEqual({ code: good.code, err: good.err }, { code: 0, err: "" });
    assert.match(good.out, /harbour\/stable {2}ubuntu\/jammy {2}deb amd64: 1 of 1 as they should be\nsignatures were NOT checked/);

    const packages = [package_("right", "released"), package_("wrong", "released"), package_("lost", "released"), package_("early", "staged")];
    await writeFile(manifest, JSON.stringify(release(packages)));
    const bad = await slipway(["verify", "--manifest", manifest, "--json"]);
    assert.equal(bad.code, 5);
    const found = JSON.parse(bad.out);
    assert.deepEqual(found.differences.map(({ key }) => key), ["wrong", "lost", "early"]);
    assert.equal(found.signatures, "not_checked");
    assert.ok(bad.err.includes(`wrong  ubuntu/jammy  harbour/stable  \`wrong_1_amd64.deb\` is served as ${sha256("other")}; it must be ${sha256("wrong")}`), bad.err);
    assert.match(bad.err, /lost_1_amd64\.deb` is not served/);
    assert.match(bad.err, /early_1_amd64\.deb` is served, though the release says: Staged/);
  });
});

test("a manifest that is none is exit 2", async () => {
  const path = join(folder, "none.json");
  await writeFile(path, "{}");
  for (const manifest of [path, join(folder, "absent.json")]) {
    const { code, err } = await slipway(["verify", "--manifest", manifest]);
    assert.equal(code, 2);
    assert.match(err, /cannot read the manifest/);
  }
});

test("config check lists every problem, and shows the policy hash of a good file", async () => {
  const path = join(folder, "slipway.toml");
  const example = await readFile(new URL("../../../slipway.toml", import.meta.url), "utf8");
  await writeFile(path, example);
  const good = await slipway(["config", "check", path]);
  assert.deepEqual({ code: good.code, err: good.err }, { code: 0, err: "" });
  assert.ok(good.out.includes(`policy ${sha256(example)}`), good.out);
  await writeFile(path, example.replace("transfers = 4", "transfers = 0").replaceAll('place = "public"', 'place = "nowhere"'));
  const bad = await slipway(["config", "check", path, "--json"]);
  assert.equal(bad.code, 2);
  assert.ok(JSON.parse(bad.out).problems.length >= 2, bad.out);
  assert.match(bad.err, /nowhere[^]*`transfers` must be at least 1/);
});

const HOOK = { url: "", job_events: true, pipeline_events: true, deployment_events: true, enable_ssl_verification: true, alert_status: "executable" };

/// `slipway doctor` where all is well, but for what `change` does to it.
const examined = async (change = () => {}, more = {}) => {
  const secret = (name, verdict = "good", found = "it is set") => ({ name, uses: ["what it is for"], verdict, found: [found], expires_at: null });
  const world = {
    facts: { name: "mine", scopes: ["api"], active: true, revoked: false, expires_at: "2036-01-01" },
    hook: { ...HOOK },
    writes: { "harbour-ci/pre-release": true },
    jobs: [{ id: 9, name: "qa: [jammy]", status: "success" }],
    protected: [{ name: "release/*" }],
    secrets: [secret("GITLAB_TOKEN"), secret("PUBLIC_TOKEN")],
    ready: 200,
    place: 200,
    date: undefined,
  };
  const date = () => world.date ?? new Date().toUTCString();
  const gitlabs = await gitlab({
    script: ({ path }) => {
      if (path === "/api/v4/version") return { json: {}, headers: { date: date() } };
      if (path === "/api/v4/personal_access_tokens/self") return { json: world.facts };
      if (path === "/api/v4/projects/1001/hooks") return { json: [world.hook] };
      if (path === "/api/v4/projects/1001/protected_environments") return { json: world.protected };
      if (path === "/api/v4/projects/1001/pipelines/5/jobs") return { json: world.jobs };
    },
  });
  const server = await packageServer({
    script: ({ path }) => {
      if (path === "/") return { status: world.place, json: {} };
      if (path === "/api/v1/repos.json") return { json: Object.entries(world.writes).map(([fqname, isPrivate]) => ({ name: "x", fqname, private: isPrivate })) };
    },
  });
  const packages = [entry("a", { "ubuntu/jammy": "expected" }, server.url)];
  packages[0].targets[0].public = { url: server.url, repository: "harbour/stable" };
  packages[0].blocked = [{ gate: "jobs", why: "pipeline 5 has the job `qa: [jammy]` running, which must succeed.", until: null }];
  world.policy = {
    project: { id: 1001, name: "tug" },
    policy: sha256("policy"),
    releasers: { people: [7, 19], levels: ["maintainer"], protected_environment: true, refs: ["v*"], pipeline_sources: ["push"] },
    approvals_lapse: "4h",
    gates: [{ versions: ["*"], maturities: ["final"], keys: ["*"], asks: ["In the package's pipeline, `qa` succeeded."], jobs: ["qa"], override_people: [7] }],
    routes: [{ versions: ["*"], keys: ["*"], distros: ["*"], staging: "staging/harbour-ci/pre-release", public: "public/harbour/stable", how: "copy" }],
    places: [
      { name: "public", url: server.url, storage: [], staging: [], public: ["harbour/stable"] },
      { name: "staging", url: server.url, storage: [], staging: ["harbour-ci/pre-release"], public: [] },
    ],
  };
  const edges = await withSignIn({ packages }, gitlabs, ({ path, headers }) => {
    if (path.endsWith("/policy")) return { json: world.policy };
    if (path === "/readyz") return { status: world.ready, json: {} };
    if (path !== "/readyz/secrets") return undefined;
    const isOperator = headers.authorization === `Bearer ${OPERATOR_TOKEN}`;
    return isOperator ? { json: { at: "2026-11-23T08:15:12.000Z", is_ready: true, secrets: world.secrets } } : problem(401, "Not a caller", "No.");
  });
  edges.release.pipelines = [{ id: 5, ref: "v1.2.0", sha: "aa", url: `${gitlabs.url}/pipelines/5` }];
  world.hook.url = `${edges.url}/webhooks/gitlab/1001`;
  change(world, secret, edges.release);
  let ended;
  await using([gitlabs, server, edges], async (gitlab, server, edge) => {
    const variables = { SLIPWAY_STAGING_TOKEN: STAGING_TOKEN, SLIPWAY_OPERATOR_TOKEN: OPERATOR_TOKEN, ...more };
    ended = await slipway(["doctor"], await person(edge, gitlab, variables));
    const asked = [gitlab, server, edge].flatMap(({ requests }) => requests.filter(({ method }) => method !== "GET"));
    assert.deepEqual(asked, [], "a doctor changes nothing");
  });
  assert.equal((ended.out + ended.err).includes(OPERATOR_TOKEN), false);
  return ended;
};

test("a doctor finds nothing where all is well, and says of each thing how it is", async () => {
  const { code, out, err } = await examined();
  assert.deepEqual({ code, err }, { code: 0, err: "" }, out);
  for (const part of [
    /good +edge reachable +Slipway answers\n/,
    /good +edge ready +the edge has every secret it needs\n/,
    /good +edge secret +`PUBLIC_TOKEN` \(what it is for\): it is set\n/,
    /good +edge clock +/,
    /good +GitLab clock +/,
    /good +place reachable +http:\/\/127\.0\.0\.1:\d+ answers\n/,
    /good +who releases +the people with GitLab's ids 7, 19, with the role maintainer, from a protected environment\n/,
    /good +gate +for `\*` of `\*`: In the package's pipeline, `qa` succeeded\.\n/,
    /good +closed gate +1\.2\.0 1 packages wait: pipeline 5 has the job/,
    /good +protection +1 environments are protected\n/,
    /good +webhook +project 1001 tells Slipway of jobs, pipelines and deployments\n/,
    /good +staging reach +its user may write no public repository\n/,
    /\nno findings\n$/,
  ]) assert.match(out, part);
});

test("what the edge tells its operator alone is not asked of it without the operator's credential", async () => {
  const { code, out } = await examined(() => {}, { SLIPWAY_OPERATOR_TOKEN: "" });
  assert.equal(code, 0, out);
  assert.match(out, /not asked +edge secrets +the edge tells the operator alone what it found: set `SLIPWAY_OPERATOR_TOKEN`/);
});

test("before anything was planned, the policy alone says where packages go", async () => {
  const { code, err } = await examined((world, _secret, release) => {
    release.packages.length = 0;
    world.writes["harbour/stable"] = false;
  });
  assert.equal(code, 6);
  assert.match(err, /every build job can publish/);
});

const soon = new Date(Date.now() + 5 * 86_400_000).toISOString().slice(0, 10);
const WRONG = [
  [(world) => (world.writes["harbour/stable"] = false), /staging reach: every build job can publish: the user of `SLIPWAY_STAGING_TOKEN` may write the public harbour\/stable/],
  [(world) => delete world.writes["harbour-ci/pre-release"], /staging token: its user may not write harbour-ci\/pre-release/],
  [(world) => (world.facts.expires_at = soon), new RegExp(`GitLab token: .* expires on ${soon}: make a new one now`)],
  [(world) => (world.facts.scopes = ["read_api"]), /play jobs: .* cannot play jobs: that needs the scope `api`/],
  [(world) => (world.hook.job_events = false), /webhook: it has no Job events/],
  [(world) => (world.hook.deployment_events = false), /webhook: it has no Deployment events/],
  [(world) => (world.hook.alert_status = "disabled"), /webhook: GitLab has switched it off/],
  [(world) => (world.date = "Mon, 23 Nov 2020 09:00:00 GMT"), /GitLab clock: GitLab's clock and this machine's are \d+ s apart/],
  [(world) => (world.ready = 500), /edge ready: the edge answers 500: a secret of it is missing/],
  [(world) => (world.place = 502), /place reachable: http:\/\/127\.0\.0\.1:\d+ answers 502/],
  [(world) => (world.jobs = [{ id: 9, name: "qa-nightly", status: "success" }]), /gate jobs: a gate waits for the job `qa`, and pipeline 5 has none: it never opens/],
  [(world) => (world.protected = []), /protection: .* the project protects none: nobody can release/],
  [(world) => (world.policy.routes = []), /routes: no route applies to this project/],
  [(world, secret) => world.secrets.push(secret("STAGING_TOKEN", "finding", "it stages, and its user may write the public harbour/stable")), /edge secret: `STAGING_TOKEN` .* may write the public harbour\/stable/],
];

test("a doctor names what is wrong: exit 6", async () => {
  for (const [change, part] of [
    ...WRONG,
    [(world) => (world.facts.revoked = true), /is not active any more/],
    [(world) => (world.writes["harbour-ci/pre-release"] = false), /anybody can read harbour-ci\/pre-release/],
  ]) {
    const { code, err } = await examined(change);
    assert.equal(code, 6, `${part}\n${err}`);
    assert.match(err, /^slipway: 1 findings?\n/, `${part}`);
    assert.match(err, part);
  }
});

test("where all of it is wrong at once, each thing is named: exit 6", async () => {
  const { code, err } = await examined((...of) => WRONG.forEach(([change]) => change(...of)));
  assert.equal(code, 6);
  for (const [, part] of WRONG) assert.match(err, part);
  assert.match(err, new RegExp(`^slipway: ${WRONG.length} findings\n`));
});
