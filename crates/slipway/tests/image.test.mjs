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

/// A registry with one repository. `lets` says who may read it: `undefined` is anybody.
async function registry(image, { lets = () => true, realm } = {}) {
  const server = await serve(({ method, path, headers }) => {
    if (path === "/token") return { json: { token: headers.authorization === BASIC ? "read" : "nothing" } };
    const shown = headers.authorization;
    if (!lets(shown)) {
      const wanted = realm ? `Bearer realm="${realm === true ? server.url : realm}/token",service="registry"` : 'Basic realm="test"';
      return { status: 401, headers: { "www-authenticate": wanted }, json: { errors: [{ code: "UNAUTHORIZED", message: "no" }] } };
    }
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
    [{ lets: () => false, realm: "http://127.0.0.1:9" }, KNOWN, "17.3.1", {}, /sends to 127\.0\.0\.1:9 for a token, which the place's `realm` does not name/],
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
