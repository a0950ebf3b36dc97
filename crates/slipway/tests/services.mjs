// Small services for the tests of the command: an edge and a package server that hold what they are told, as the real
// ones do, and that can be made to do the work and then fail.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const BUILT = fileURLToPath(new URL("../../../build/slipway/bin/slipway.mjs", import.meta.url));
const DEPOT = process.env.DEPOT_BIN || fileURLToPath(new URL("../../../target/debug/depot", import.meta.url));
const COMMAND = process.env.SLIPWAY_BIN || BUILT;

export const ID_TOKEN = "id-token-0d6f";
export const SESSION = "session-77aa";
export const STAGING_TOKEN = "staging-token-51c2";
export const GITLAB_TOKEN = "glpat-own-8e1b";
export const OPERATOR_TOKEN = "operator-9b1f-4c0d";
export const PERSON_TOKEN = "oauth-person-3c7d";

export const sha256 = (bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/// Runs the command to its end. Whatever it says, it never says a secret. `started` gets the process.
export async function slipway(words, env = {}, started = () => {}) {
  const child = spawn(process.execPath, [COMMAND, ...words], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started(child);
  let out = "";
  let err = "";
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (err += text));
  const code = await new Promise((resolve) => child.on("close", resolve));
  for (const secret of [ID_TOKEN, SESSION, STAGING_TOKEN, GITLAB_TOKEN, PERSON_TOKEN, Buffer.from(`${STAGING_TOKEN}:`).toString("base64")]) {
    if ((out + err).includes(secret)) throw new Error(`a secret was printed:\n${out}\n${err}`);
  }
  return { code, out, err };
}

/// A server on loopback. `answer` takes a request, body included, and gives `{status, json}`, `{status, stream}` with a
/// function that writes the body, or `"cut"`.
export async function serve(answer, { begun = () => {} } = {}) {
  const requests = [];
  // Stands between a request and its answer: a test that kills somebody there sets another.
  const kill = { hook: (answer) => answer() };
  const server = createServer(async (incoming, outgoing) => {
    const { pathname, searchParams } = new URL(incoming.url, "http://host");
    const request = {
      method: incoming.method,
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: incoming.headers,
      complete: false,
    };
    requests.push(request);
    const early = await begun(request);
    try {
      const pieces = [];
      if (!early) for await (const piece of incoming) pieces.push(piece);
      request.body = Buffer.concat(pieces);
      request.complete = !early;
    } catch {
      return; // The other side went away.
    }
    const reply = early || (await kill.hook(() => answer(request), request));
    if (reply === "cut") return void incoming.socket.destroy();
    const { status = 200, json = {}, type = status < 400 ? "application/json" : "application/problem+json", headers, stream } = reply;
    const text = JSON.stringify(json);
    // A connection that is closed while somebody still sends takes the answer with it: the whole answer goes out first, and
    // the connection ends when nothing more comes, as with real servers.
    if (early) {
      incoming.on("close", () => outgoing.end());
      incoming.on("error", () => {}).resume();
      return void outgoing.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text), ...headers }).write(text);
    }
    outgoing.writeHead(status, { "content-type": type, ...headers });
    if (stream) return void stream(outgoing);
    outgoing.end(text);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections()));
  return { url: `http://127.0.0.1:${server.address().port}`, requests, kill, close };
}

/// An edge with one release. `script` may answer before it: a function from a request to a reply, or to nothing.
export async function edge({ packages = [], script = () => {} } = {}) {
  const release = {
    project: { id: 1001, name: "tug" },
    version: "1.2.0",
    sequence: 1,
    state: "expected",
    verdict: "packages are awaited",
    at: "2026-11-23T08:15:12.000Z",
    pipelines: [],
    packages,
  };
  const server = await serve((request) => {
    const { method, path, headers, body } = request;
    request.json = body.length > 0 ? JSON.parse(body) : undefined;
    const scripted = script(request, release);
    if (scripted) return scripted;
    if (path === "/healthz") return { type: "text/plain", stream: (outgoing) => outgoing.end("ok\n") };
    if (path === "/api/v1/signing-key") return { json: { name: "slipway.example.com", keys: [] } };
    if (method === "POST" && path === "/api/v1/sessions" && request.json.access_token) {
      if (request.json.access_token !== PERSON_TOKEN) return problem(401, "Not a caller", "The token is not accepted.");
      return { json: { session: SESSION, expires_at: "2026-11-23T16:15:12.000Z", user: { id: 7, username: "mira" } } };
    }
    if (method === "POST" && path === "/api/v1/sessions") {
      if (request.json.id_token !== ID_TOKEN) return problem(401, "Not a caller", "The token is not accepted.");
      const expires_at = "2026-11-23T11:15:12.000Z";
      return { json: { session: SESSION, expires_at, project: release.project, pipeline_id: 5, job_id: 6 } };
    }
    if (method === "DELETE" && path === "/api/v1/sessions") {
      return headers.authorization === `Bearer ${SESSION}` ? { json: {} } : problem(401, "Not a caller", "No session.");
    }
    if (!path.startsWith("/api/v1/projects/1001/releases/1.2.0")) return problem(404, "No such thing", path);
    if (method !== "GET" && headers.authorization !== `Bearer ${SESSION}`) return problem(401, "Not a caller", "No session.");
    if (method === "PATCH") {
      for (const patch of request.json.packages) {
        const known = packages.find((entry) => entry.key === patch.key);
        if (!patch.staged || !known) continue;
        const before = known.file;
        const isStaged = (file) => file?.digest === patch.staged.digest && file?.filename === patch.staged.filename;
        const same = isStaged(before);
        if (before && !same) {
          if (!patch.replace) return problem(409, "Other digest", `\`${patch.key}\` is declared with another digest.`);
          const fixed = known.targets.find(({ state }) => !["expected", "staged", "missing", "conflict"].includes(state));
          if (fixed) return problem(409, "Not replaceable", `\`${patch.key}\` cannot be replaced: its target ${fixed.distro} is ${fixed.state}.`);
          const { filename, digest } = before;
          known.replaced = [...(known.replaced ?? []), { filename, digest }].filter((old) => !isStaged(old));
          for (const target of known.targets) target.state = "expected";
        }
        known.file = patch.staged;
      }
    }
    if (path.endsWith("/promotions")) {
      return { status: 202, json: { keys: request.json.keys, follow: "/elsewhere" } };
    }
    return { json: release };
  });
  const variables = { SLIPWAY_URL: server.url, SLIPWAY_ID_TOKEN: ID_TOKEN, CI_PROJECT_ID: "1001", CI_COMMIT_TAG: "v1.2.0" };
  return { ...server, release, variables };
}

export const problem = (status, title, detail) => {
  const type = `urn:slipway:problem:${title.toLowerCase().replaceAll(" ", "-")}`;
  return { status, json: { type, title, status, detail } };
};

/// A GitLab whose jobs do what is done to them, and a person who lets a device in after `pending` questions. `jobs` are by
/// pipeline: `{5: [{name, status}]}`. `played` gets each job that begins.
export async function gitlab({ jobs = {}, played = () => {}, pending = 1, script = () => {} } = {}) {
  let id = 100;
  const known = Object.entries(jobs).flatMap(([pipeline, list]) => list.map((job) => ({ id: ++id, pipeline, ...job })));
  const shown = ({ pipeline, ...job }) => ({ ...job, web_url: `https://gitlab.invalid/-/jobs/${job.id}` });
  let asked = 0;
  const revoked = [];
  const server = await serve((request) => {
    const { method, path, headers, body } = request;
    const scripted = script(request, known);
    if (scripted) return scripted;
    const refused = (status, message) => ({ status, json: { message }, type: "application/json" });
    if (path === "/oauth/authorize_device") {
      const [verification_uri, interval, expires_in] = [`${server.url}/oauth/device`, 1, 300];
      return { json: { device_code: "device-1", user_code: "ABCD1234", verification_uri, interval, expires_in } };
    }
    if (path === "/oauth/token") {
      if (asked++ < pending) return { status: 400, json: { error: "authorization_pending" }, type: "application/json" };
      request.form = Object.fromEntries(new URLSearchParams(body.toString()));
      return { json: { access_token: PERSON_TOKEN, refresh_token: "refresh-2", expires_in: 7200, token_type: "Bearer" } };
    }
    if (path === "/oauth/revoke") {
      revoked.push(Object.fromEntries(new URLSearchParams(body.toString())));
      return { json: {} };
    }
    const token = headers.authorization?.replace("Bearer ", "");
    if (token !== GITLAB_TOKEN && token !== PERSON_TOKEN) return refused(401, "401 Unauthorized");
    const [, pipeline] = path.match(/\/pipelines\/(\d+)\/jobs$/) ?? [];
    if (pipeline) return { json: known.filter((job) => job.pipeline === pipeline).map(shown) };
    const [, number, act] = path.match(/\/projects\/1001\/jobs\/(\d+)(?:\/(\w+))?$/) ?? [];
    const job = known.find((job) => job.id === Number(number));
    if (!job) return refused(404, "404 Not Found");
    if (method === "GET") return { json: shown(job) };
    if (act === "play") {
      if (job.status !== "manual") return refused(400, "400 Bad request - Unplayable Job");
      job.status = "pending";
      played(job, known);
      return { json: shown(job) };
    }
    if (act === "retry") {
      const again = { ...job, id: ++id, status: "pending" };
      known.push(again);
      played(again, known);
      return { status: 201, json: shown(again) };
    }
    return refused(404, "404 Not Found");
  });
  const acts = () => server.requests.filter(({ method }) => method === "POST").map(({ path }) => path.replace("/api/v4/projects/1001", ""));
  return { ...server, known, acts, revoked };
}

/// A package of the edge's release, with a target a distro.
export const entry = (key, states, staging = "https://packages.invalid") => ({
  key,
  pipeline_id: 5,
  release_job: `release: [${key}]`,
  file: null,
  staging: { url: staging, repository: "harbour-ci/pre-release" },
  targets: Object.entries(states).map(([distro, state]) => ({
    distro,
    public: { url: "https://packages.invalid", repository: "harbour/stable" },
    state,
    since: "2026-11-23T08:15:12.000Z",
  })),
});

/// A package server with one private repository. `push` may change how a push is answered.
export async function packageServer({ push = (store) => store(), script = () => {}, begun } = {}) {
  const stored = new Map();
  const server = await serve((request) => {
    const scripted = script(request);
    if (scripted) return scripted;
    const { method, path, query, headers, body } = request;
    if (headers.authorization !== `Basic ${Buffer.from(`${STAGING_TOKEN}:`).toString("base64")}`) {
      return { status: 401, json: { error: "Unauthenticated" }, type: "application/json" };
    }
    if (path === "/api/v1/distributions.json") {
      const versions = [{ id: 237, index_name: "jammy" }, { id: 284, index_name: "noble" }, { id: 999, index_name: "jam" }];
      const nine = (index_name, id) => ({ index_name, versions: [{ id, index_name: "9" }] });
      return { json: { deb: [{ index_name: "ubuntu", versions }], rpm: [nine("el", 240), nine("ol", 244)] } };
    }
    if (!path.startsWith("/api/v1/repos/harbour-ci/pre-release/")) {
      return { status: 404, json: { error: "not_found" }, type: "application/json" };
    }
    if (path.endsWith("/search.json")) {
      const found = [...stored.values()].filter((file) => file.filename.includes(query.q) && file.distro_version === query.dist);
      return { json: found.map(({ filename, distro_version, bytes }) => ({ filename, distro_version, sha256sum: sha256(bytes).slice(7) })) };
    }
    if (method === "POST" && path.endsWith("/packages.json")) {
      const file = multipart(headers["content-type"], body);
      const name = `${file.distro_version} ${file.filename}`;
      const store = () => {
        if (stored.has(name)) return { status: 422, json: { filename: ["has already been taken"] }, type: "application/json" };
        stored.set(name, file);
        return { status: 201, json: { filename: file.filename, distro_version: file.distro_version, size: String(file.bytes.length) } };
      };
      return push(store, file, stored);
    }
    if (method === "DELETE") {
      const [distro, version, filename] = path.split("/").slice(-3).map(decodeURIComponent);
      const there = stored.delete(`${distro}/${version} ${filename}`);
      return there ? {} : { status: 404, json: { filename: ["not found"] }, type: "application/json" };
    }
    return { status: 404, json: { error: "not_found" }, type: "application/json" };
  }, { begun });
  const deletions = () => server.requests.filter((request) => request.method === "DELETE").map((request) => decodeURIComponent(request.path));
  const pushes = () => server.requests.filter((request) => request.method === "POST");
  const hold = (filename, distro_version, bytes) => stored.set(`${distro_version} ${filename}`, { filename, distro_version, bytes });
  return { ...server, stored, pushes, deletions, hold };
}

/// The two parts of a push, exactly as packagecloud's clients write them.
function multipart(type, body) {
  const boundary = type.match(/^multipart\/form-data; boundary=(\S+)$/)[1];
  const text = body.toString("latin1");
  const shape = new RegExp(
    `^--${boundary}\\r\\nContent-Disposition: form-data; name="package\\[distro_version_id\\]"\\r\\n\\r\\n(\\d+)\\r\\n` +
      `--${boundary}\\r\\nContent-Disposition: form-data; name="package\\[package_file\\]"; filename="([^"]+)"\\r\\n` +
      `Content-Type: application/octet-stream\\r\\n\\r\\n`,
  );
  const [head, id, filename] = text.match(shape);
  const end = `\r\n--${boundary}--\r\n`;
  if (!text.endsWith(end)) throw new Error("the body has no end");
  const distro_version = { 237: "ubuntu/jammy", 284: "ubuntu/noble", 240: "el/9", 244: "ol/9" }[id];
  return { filename, distro_version, bytes: body.subarray(head.length, body.length - end.length) };
}

/// An rpm's lead, an empty signature, and a header with what names it: rpm's file format, version 4.
export function rpm({ name, version, release, architecture, source = false }) {
  const lead = Buffer.alloc(96);
  lead.writeUInt32BE(0xedabeedb);
  const header = (tags) => {
    const values = Buffer.concat(tags.map(([, text]) => Buffer.from(`${text}\0`)));
    const index = Buffer.alloc(16 + 16 * tags.length);
    [0x8eade801, 0, tags.length, values.length].forEach((number, place) => index.writeUInt32BE(number, place * 4));
    let offset = 0;
    tags.forEach(([tag, text], place) => {
      [tag, 6, offset, 1].forEach((number, field) => index.writeUInt32BE(number, 16 + 16 * place + 4 * field));
      offset += Buffer.byteLength(text) + 1;
    });
    return Buffer.concat([index, values]);
  };
  const tags = [[1000, name], [1001, version], [1002, release], [1022, architecture]];
  if (!source) tags.push([1044, `${name}-${version}-${release}.src.rpm`]);
  return Buffer.concat([lead, header([]), header(tags), Buffer.from("the contents")]);
}

/// A depot with its data in `folder`, and users and repositories as its seed has them.
export async function depot(folder, seed) {
  await writeFile(join(folder, "seed.json"), JSON.stringify(seed));
  const words = ["serve", "--data", join(folder, "packages"), "--seed", join(folder, "seed.json"), "--control", "127.0.0.1:0"];
  const child = spawn(DEPOT, words, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const ready = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.stdout.once("data", (line) => resolve(JSON.parse(line)));
  });
  return { ...ready, close: () => (child.kill(), ended) };
}

/// A deb of nothing but its control file.
export const deb = ({ name, version }) => {
  const control = `Package: ${name}\nVersion: ${version}\nArchitecture: amd64\nMaintainer: H <h@example.com>\nDescription: real\n`;
  const head = Buffer.alloc(512);
  for (const [text, at] of [["./control", 0], ["0000644", 100], ["0000000", 108], ["0000000", 116], ["        0", 147], ["ustar\u000000", 257]]) head.write(text, at);
  head.write(control.length.toString(8).padStart(11, "0"), 124);
  head.write("00000000000", 136);
  head.write("        ", 148);
  head.write(`${head.reduce((sum, byte) => sum + byte).toString(8).padStart(6, "0")}\0 `, 148);
  const tar = Buffer.concat([head, Buffer.from(control), Buffer.alloc(512 - (control.length % 512) + 1024)]);
  const member = (name, bytes) =>
    Buffer.concat([Buffer.from(`${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${String(bytes.length).padEnd(10)}\`\n`), bytes, Buffer.from(bytes.length % 2 ? "\n" : "")]);
  return Buffer.concat([Buffer.from("!<arch>\n"), member("debian-binary", Buffer.from("2.0\n")), member("control.tar.gz", gzipSync(tar)), member("data.tar.gz", gzipSync(Buffer.alloc(1024)))]);
};
