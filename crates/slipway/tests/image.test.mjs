// Images, as the built command stages and verifies them, against a registry that wants a user, and one that gives tokens.

import assert from "node:assert/strict";
import { test } from "node:test";

import { edge, entry, problem, serve, sha256, slipway } from "./services.mjs";

const USER = "harbour-ci";
const PASSWORD = "registry-password-7f21";
const KNOWN = { SLIPWAY_REGISTRY_USER: USER, SLIPWAY_REGISTRY_PASSWORD: PASSWORD };
const BASIC = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString("base64")}`;
const INDEX = "application/vnd.oci.image.index.v1+json";
const IMAGE = "application/vnd.oci.image.manifest.v1+json";

/// An image for two platforms that share a layer of 300 bytes, as a registry holds it. White space is nobody's to change.
function twoPlatforms() {
  const manifests = new Map();
  const blobs = new Map();
  const blob = (name, size) => (blobs.set(sha256(name), size), { mediaType: "application/octet-stream", digest: sha256(name), size });
  const keep = (mediaType, manifest) => {
    const bytes = Buffer.from(JSON.stringify(manifest, null, 3));
    manifests.set(sha256(bytes), { mediaType, bytes });
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  };
  const platform = (architecture, size) =>
    keep(IMAGE, { schemaVersion: 2, mediaType: IMAGE, config: blob(`config ${architecture}`, size), layers: [blob("layer", 300)] });
  const index = keep(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests: [platform("amd64", 10), platform("arm64", 20)] });
  manifests.set("17.3.1", manifests.get(index.digest));
  return { manifests, blobs, digest: index.digest };
}

/// A registry with one repository. `lets` says who may read it, and `pushes` who may write: `undefined` is anybody. `uploads` is
/// where it sends them, in place of to itself.
async function registry(image, { lets = () => true, pushes = () => false, uploads, realm } = {}) {
  const server = await serve(({ method, path, headers }) => {
    if (path === "/token") return { json: { token: headers.authorization === BASIC ? "read" : "nothing" } };
    const shown = headers.authorization;
    if (!lets(shown)) {
      const wanted = realm ? `Bearer realm="${realm === true ? server.url : realm}/token",service="registry"` : 'Basic realm="test"';
      return { status: 401, headers: { "www-authenticate": wanted }, json: { errors: [{ code: "UNAUTHORIZED", message: "no" }] } };
    }
    const upload = path.match(/^\/v2\/(.+)\/blobs\/uploads\/(.*)$/);
    if (upload && method === "POST") {
      if (!pushes(shown)) return { status: 403, type: "application/json", json: { errors: [{ code: "DENIED", message: "no" }] } };
      return { status: 202, headers: { location: `${uploads ?? ""}/v2/${upload[1]}/blobs/uploads/7` } };
    }
    if (upload && method === "DELETE") return { status: 204, stream: (outgoing) => outgoing.end() };
    const [, name, what, which] = path.match(/^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/) ?? [];
    if (name === "team/app" && what === "manifests" && image.manifests.has(which)) {
      // Debian's registry hides what is not asked for by its type.
      const { mediaType, bytes } = image.manifests.get(which);
      if (headers.accept.includes(mediaType)) {
        const answer = { "content-length": String(bytes.length), "docker-content-digest": sha256(bytes) };
        return { type: mediaType, headers: answer, stream: (outgoing) => outgoing.end(method === "HEAD" ? undefined : bytes) };
      }
    }
    if (name === "team/app" && what === "blobs" && image.blobs.has(which)) {
      return { headers: { "content-length": String(image.blobs.get(which)) }, stream: (outgoing) => outgoing.end() };
    }
    return { status: 404, type: "application/json", json: { errors: [{ code: "MANIFEST_UNKNOWN", message: "no" }] } };
  });
  return { ...server, host: server.url.slice("http://".length) };
}

/// An edge that expects one image, staged at `staging`, public at `url`.
async function harbour(staging, { states = { "17.3.1": "expected" }, url = staging.url, place = {}, script = () => {} } = {}) {
  const planned = entry("app", states, staging.url);
  planned.staging.repository = "team/app";
  planned.targets = planned.targets.map(({ distro, ...target }) => ({ ...target, tag: distro, public: { url, repository: "team/app" } }));
  const policy = {
    project: { id: 1001, name: "tug" },
    policy: sha256("policy"),
    releasers: { people: null, levels: null, protected_environment: false, refs: ["*"], pipeline_sources: [] },
    approvals_lapse: "never",
    gates: [],
    routes: [],
    places: [{ name: "registry", kind: "registry", url: staging.url, storage: [], staging: ["team/app"], public: [], ...place }],
  };
  return edge({
    packages: [planned],
    script: (request, release) => {
      if (request.path.endsWith("/policy")) return { json: policy };
      const scripted = script(request, release);
      if (!scripted && request.method === "PATCH") for (const target of planned.targets) target.state = "staged";
      return scripted;
    },
  });
}

const using = async (services, test) => {
  try {
    await test(...services);
  } finally {
    await Promise.all(services.map((service) => service.close()));
  }
};
const declared = (edge) => edge.requests.filter(({ method }) => method === "PATCH").flatMap(({ json }) => json.packages);

for (const [how, options] of [
  ["a user and a password", { lets: (shown) => shown === BASIC }],
  ["a token", { lets: (shown) => shown === "Bearer read", realm: true }],
]) {
  test(`an image in a registry that wants ${how} is declared by its digest, and nothing is pushed`, async () => {
    const image = twoPlatforms();
    const staging = await registry(image, options);
    await using([staging, await harbour(staging)], async (staging, edge) => {
      const { code, out, err } = await slipway(["stage", "app", "--image", `${staging.host}/team/app:17.3.1`], { ...edge.variables, ...KNOWN });
      assert.deepEqual({ code, err }, { code: 0, err: "" });
      assert.ok(!(out + err).includes(PASSWORD));
      const staged = { image: `${staging.host}/team/app`, digest: image.digest, size: 330 };
      for (const patch of declared(edge)) assert.deepEqual(patch, { key: "app", staged });
      assert.ok(declared(edge).length > 0);
      assert.ok(staging.requests.every(({ method }) => method === "GET" || method === "HEAD"));
      // The tag is read once; from then on it is the digest.
      const byTag = staging.requests.filter(({ path, headers }) => path.endsWith("/17.3.1") && (headers.authorization ?? "") !== "");
      assert.equal(byTag.length, 1);
    });
  });
}

test("a reference by digest is declared as it is", async () => {
  const image = twoPlatforms();
  const staging = await registry(image);
  await using([staging, await harbour(staging)], async (staging, edge) => {
    const { code } = await slipway(["stage", "app", "--image", `${staging.host}/team/app@${image.digest}`], edge.variables);
    assert.equal(code, 0);
    assert.equal(declared(edge)[0].staged.digest, image.digest);
  });
});

test("an image of another repository is exit 2 with where to push it, and neither read nor declared", async () => {
  const staging = await registry(twoPlatforms());
  await using([staging, await harbour(staging)], async (staging, edge) => {
    for (const reference of [`${staging.host}/team/other:17.3.1`, "registry.example.com/team/app:17.3.1"]) {
      const { code, err } = await slipway(["stage", "app", "--image", reference], edge.variables);
      assert.equal(code, 2);
      assert.ok(err.includes(`docker://${reference} docker://${staging.host}/team/app:17.3.1`), err);
    }
    assert.deepEqual([staging.requests.length, declared(edge).length], [0, 0]);
  });
});

test("what cannot be read is told apart: no such image, no credential, a wrong one, a realm that nobody named, a part that is missing", async () => {
  const cases = [
    [{}, {}, "18.0.0", {}, /there is no image `18.0.0` in team\/app.\n.*Push it/],
    [{ lets: (shown) => shown === BASIC }, {}, "17.3.1", {}, /Set `SLIPWAY_REGISTRY_USER`/],
    [{ lets: (shown) => shown === BASIC }, { ...KNOWN, SLIPWAY_REGISTRY_PASSWORD: "another" }, "17.3.1", {}, /may not read this repository/],
    [{ lets: () => false, realm: "http://127.0.0.1:9" }, KNOWN, "17.3.1", {}, /sends to http:\/\/127\.0\.0\.1:9\/token for a token, which the place's `realm` does not name/],
    [{}, {}, "17.3.1", { lacks: true }, /does not have the manifest sha256:/],
  ];
  for (const [options, variables, tag, { lacks }, said] of cases) {
    const image = twoPlatforms();
    if (lacks) image.manifests.delete([...image.manifests.keys()][0]);
    const staging = await registry(image, options);
    await using([staging, await harbour(staging)], async (staging, edge) => {
      const { code, err } = await slipway(["stage", "app", "--image", `${staging.host}/team/app:${tag}`], { ...edge.variables, ...variables });
      assert.equal(code, 1);
      assert.match(err, said);
      assert.equal(declared(edge).length, 0);
      if (options.realm) assert.ok(staging.requests.every(({ headers }) => headers.authorization === undefined), "no credential is shown");
    });
  }
});

test("another digest than was declared before is a conflict that shows both", async () => {
  const image = twoPlatforms();
  const staging = await registry(image);
  const before = sha256("another image");
  const script = ({ method }, release) => {
    release.packages[0].file = { image: `${staging.host}/team/app`, digest: before, size: 1 };
    return method === "PATCH" && problem(409, "Other digest", "`app` is declared with another digest.");
  };
  await using([staging, await harbour(staging, { script })], async (staging, edge) => {
    const { code, err } = await slipway(["stage", "app", "--image", `${staging.host}/team/app:17.3.1`], edge.variables);
    assert.equal(code, 3);
    assert.ok(err.includes(before) && err.includes(image.digest), err);
  });
});

test("a job reads the registry of its own GitLab with the job's own user, and shows it to no other", async () => {
  const image = twoPlatforms();
  const staging = await registry(image, { lets: (shown) => shown === BASIC });
  await using([staging, await harbour(staging)], async (staging, edge) => {
    const own = { CI_REGISTRY_USER: USER, CI_REGISTRY_PASSWORD: PASSWORD, CI_SERVER_URL: "http://127.0.0.1:9" };
    const words = ["stage", "app", "--image", `${staging.host}/team/app:17.3.1`];
    assert.equal((await slipway(words, { ...edge.variables, ...own, CI_REGISTRY: "registry.example.com" })).code, 1);
    assert.ok(staging.requests.every(({ headers }) => headers.authorization === undefined));
    assert.equal((await slipway(words, { ...edge.variables, ...own, CI_REGISTRY: staging.host })).code, 0);
  });
});

test("verify reads a released image as anybody, by its tag, by its digest and part by part", async () => {
  const image = twoPlatforms();
  const [layer] = [...image.blobs].find(([, size]) => size === 300);
  const child = [...image.manifests.keys()][0];
  for (const [change, states, expected, said] of [
    [() => {}, { "17.3.1": "released" }, 0, /1 files and images are served with the right bytes, 0 differences/],
    [(served) => served.manifests.delete("17.3.1"), { "17.3.1": "released" }, 5, /`17.3.1` is not served/],
    [(served) => served.manifests.set("17.3.1", served.manifests.get(child)), { "17.3.1": "released" }, 5, new RegExp(`is served as ${child}; it must be ${image.digest}`)],
    [(served) => served.blobs.delete(layer), { "17.3.1": "released" }, 5, new RegExp(`its blob ${layer} is not served`)],
    [() => {}, { "17.3.1": "staged" }, 5, /`17.3.1` is served, though the release says: Staged/],
    [(served) => served.manifests.delete("17.3.1"), { "17.3.1": "staged" }, 0, /not released: app {2}:17.3.1 {2}Staged/],
  ]) {
    const served = twoPlatforms();
    change(served);
    // Whoever shows a credential is no longer anybody.
    const open = await registry(served, { lets: (shown) => shown === undefined });
    await using([open, await harbour(open, { states })], async (open, edge) => {
      edge.release.packages[0].file = { image: `${open.host}/team/app`, digest: image.digest, size: 330 };
      const { code, out, err } = await slipway(["verify"], { ...edge.variables, ...KNOWN });
      assert.equal(code, expected, out + err);
      assert.match(out + err, said);
    });
  }
});

const SESSION_OF_A_JOB = { SLIPWAY_STAGING_TOKEN: "" };

/// `slipway doctor` with a registry of staging and a public one. What it said, and what it asked them.
async function examined(staging, open, { place = {}, known = KNOWN } = {}) {
  const image = twoPlatforms();
  const [staged, released] = [await registry(image, staging), await registry(image, open)];
  const services = [staged, released, await harbour(staged, { url: released.url, place: typeof place === "function" ? place(staged) : place })];
  let ended;
  await using(services, async (staged, released, edge) => {
    ended = await slipway(["doctor", "--json"], { ...edge.variables, ...SESSION_OF_A_JOB, ...known });
  });
  assert.ok(!(ended.out + ended.err).includes(PASSWORD) && !(ended.out + ended.err).includes(BASIC.slice("Basic ".length)));
  const outcomes = JSON.parse(ended.out).filter(({ check }) => check.startsWith("registry"));
  return { ...ended, outcomes, staged: staged.requests, released: released.requests, hosts: [staged.host, released.host] };
}

const isUser = (shown) => shown === BASIC;
const isAnybody = (shown) => shown === undefined;

test("a doctor says of each registry who reads it, and that this job cannot publish; what it began there it gives up", async () => {
  for (const [staging, known] of [
    [{ lets: isUser, pushes: isUser }, "good"],
    [{ lets: (shown) => shown === "Bearer read", pushes: (shown) => shown === "Bearer read", realm: true }, "good"],
  ]) {
    const { outcomes, staged, released, hosts } = await examined(staging, { lets: isAnybody });
    assert.deepEqual(outcomes, [
      { check: "registry", verdict: "good", found: `team/app at ${hosts[0]} is private` },
      { check: "registry user", verdict: known, found: `\`${USER}\` reads team/app at ${hosts[0]}` },
      { check: "registry", verdict: "good", found: `anybody can read team/app at ${hosts[1]}` },
    ]);
    const uploads = staged.filter(({ method, path }) => method === "DELETE" && path === "/v2/team/app/blobs/uploads/7");
    assert.equal(uploads.length, 1, "the upload that was begun is given up");
    const written = [...staged, ...released].filter(({ method }) => method === "PUT" || method === "PATCH");
    assert.deepEqual(written, []);
    assert.ok(released.every(({ headers }) => headers.authorization === undefined), "the user of staging is shown to staging alone");
  }
});

test("a doctor names what is wrong with a registry: exit 6", async () => {
  const closed = { lets: isUser, pushes: isUser };
  const public_ = { lets: isAnybody };
  for (const [staging, open, more, check, said] of [
    [{}, public_, {}, "registry", /anybody can read team\/app at 127\.0\.0\.1:\d+, in which images are staged: make it private/],
    [closed, { pushes: isAnybody }, {}, "registry", /anybody can push to team\/app at 127\.0\.0\.1:\d+: have it ask for a credential/],
    [closed, public_, { known: { ...KNOWN, SLIPWAY_REGISTRY_PASSWORD: "another" } }, "registry user", /`harbour-ci` may not read team\/app/],
    [closed, public_, { known: { SLIPWAY_REGISTRY_USER: USER } }, "registry user", /`SLIPWAY_REGISTRY_PASSWORD` is not set/],
    [{ ...closed, realm: "http://127.0.0.1:9" }, public_, {}, "registry", /sends to http:\/\/127\.0\.0\.1:9\/token for a token, which the place's `realm` does not name: there is none/],
    [{ ...closed, realm: true }, public_, { place: (staged) => ({ realm: "http://127.0.0.1:8/other" }) }, "registry", /for a token, which the place's `realm` does not name: it is `http:\/\/127\.0\.0\.1:8\/other`/],
    [{ ...closed, realm: true }, public_, { place: { service: "another" } }, "registry", /its tokens are for the service `registry`, and the place's `service` is `another`/],
    [{ ...closed, uploads: "http://127.0.0.1:7" }, public_, {}, "registry user", /it sends on to 127\.0\.0\.1:7, which the place's `storage` does not list/],
  ]) {
    const { code, err, outcomes, staged } = await examined(staging, open, more);
    assert.equal(code, 6, `${said}\n${err}`);
    const findings = outcomes.filter(({ verdict }) => verdict === "finding");
    assert.ok(findings.some((finding) => finding.check === check && said.test(finding.found)), `${said}: ${JSON.stringify(outcomes)}`);
    if (staging.realm && check === "registry") assert.ok(staged.every(({ headers }) => headers.authorization === undefined), "no password is shown");
  }
});

test("a doctor that knows no user of a registry says so, and does not call it wrong", async () => {
  const { outcomes } = await examined({ lets: isUser, pushes: isUser }, { lets: isAnybody }, { known: {} });
  const user = outcomes.find(({ check }) => check === "registry user");
  assert.equal(user.verdict, "not_asked");
  assert.match(user.found, /nobody is known at 127\.0\.0\.1:\d+: set `SLIPWAY_REGISTRY_USER` and `SLIPWAY_REGISTRY_PASSWORD`/);
});

test("the user of staging who could push to the public repository is found: exit 6", async () => {
  // Both are at one registry, so its user is asked about both.
  const image = twoPlatforms();
  for (const [pushes, expected] of [
    [true, /every build job can publish: `harbour-ci` may push to the public team\/app/],
    [false, undefined],
  ]) {
    const both = await registry(image, { lets: isUser, pushes: (shown) => pushes && isUser(shown) });
    await using([both, await harbour(both)], async (both, edge) => {
      const { out } = await slipway(["doctor", "--json"], { ...edge.variables, ...SESSION_OF_A_JOB, ...KNOWN });
      const reach = JSON.parse(out).find(({ check }) => check === "registry reach");
      assert.equal(reach.verdict, expected ? "finding" : "good", JSON.stringify(reach));
      assert.match(reach.found, expected ?? /`harbour-ci` may not push to team\/app/);
    });
  }
});

test("an image is released and followed by its tag, and fails with what the registry did and what to do", async () => {
  const image = twoPlatforms();
  const staging = await registry(image);
  for (const [states, code, said] of [
    [["approved", "releasing", "released"], 0, /^app  :17\.3\.1  team\/app  Releasing/m],
    [["approved", "failed"], 1, /app  :17\.3\.1  Failed\n[^]*it sends to elsewhere[^]*next: Operator: find out/],
  ]) {
    const left = [...states];
    const problem = { code: "foreign-realm", what: "it sends to elsewhere for a token", public: "none", retry: "safe", next: "Operator: find out who changed it." };
    const script = ({ method }, release) => {
      const [target] = release.packages[0].targets;
      release.sequence += 1;
      if (method === "GET") target.state = left.shift() ?? target.state;
      if (target.state === "failed") target.problem = problem;
    };
    const services = await harbour(staging, { states: { "17.3.1": "approved" }, script });
    await using([services], async (edge) => {
      const ended = await slipway(["release", "app"], edge.variables);
      assert.equal(ended.code, code, ended.out + ended.err);
      assert.match(ended.out + ended.err, said);
      const asked = edge.requests.find((request) => request.path.endsWith("/promotions"));
      assert.deepEqual(asked.json, { keys: ["app"] });
    });
  }
  await staging.close();
});

test("status shows an image with its tag, its digest and its size; and one tag with everything that was tried for it", async () => {
  const image = twoPlatforms();
  const attempt = { number: 1, approval: 7, began_at: "2026-11-23T09:00:00.000Z", ended_at: "2026-11-23T09:01:00.000Z", act: "copy", ended: "accepted" };
  const script = ({ path }, release) => {
    release.packages[0].file = { image: "registry.example.com/team/app", digest: image.digest, size: 330 };
    const isTarget = path.endsWith("/releases/1.2.0/targets/app/17.3.1");
    return isTarget && { json: { key: "app", target: release.packages[0].targets[0], attempts: [attempt] } };
  };
  await using([await harbour({ url: "https://registry.example.com" }, { states: { "17.3.1": "released" }, script })], async (edge) => {
    const all = await slipway(["status"], edge.variables);
    assert.equal(all.code, 0, all.err);
    assert.match(all.out, new RegExp(`\napp +:17\\.3\\.1 +Released +330 B +0 +${image.digest.slice(7, 19)} +2026-11-23 08:15\n`));
    for (const tag of ["17.3.1", ":17.3.1"]) {
      const one = await slipway(["status", "app", tag], edge.variables);
      assert.equal(one.code, 0, one.err);
      assert.match(one.out, /^app  :17\.3\.1  team\/app  Released since 2026-11-23 08:15 UTC\n/);
      assert.match(one.out, /\n1 +7 +2026-11-23 09:00:00  2026-11-23 09:01:00  copy  accepted\n/);
    }
  });
});
