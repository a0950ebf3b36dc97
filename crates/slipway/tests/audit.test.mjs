// `slipway verify --audit` and `slipway audit`. The rows and heads are made here, with Node's own cryptography and from
// `docs/audit.md` alone.

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { OPERATOR_TOKEN, serve, slipway } from "./services.mjs";

const EDGE = "https://slipway.example.com";
const NAME = "slipway.example.com";
const START_MS = Date.UTC(2026, 10, 23);

let folder;
before(async () => (folder = await mkdtemp(join(tmpdir(), "slipway-audit-"))));
after(() => rm(folder, { recursive: true }));

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const netstring = (text) => `${Buffer.byteLength(text)}:${text},`;

/// A row's hash, from the row as it is written.
const hashed = ({ sequence, at_ms, actor, action, subject, details, previous }) =>
  sha256(["slipway-audit-v1", String(sequence), String(at_ms), actor, action, subject, details, previous].map(netstring).join(""));

/// A chain of such rows, computed from the first on.
function chained(events) {
  let previous = "0".repeat(64);
  return events.map(({ at_ms, actor, action, subject, details }, index) => {
    const row = { sequence: index + 1, at_ms, at: new Date(at_ms).toISOString(), actor, action, subject, details, previous };
    previous = hashed(row);
    return { ...row, hash: previous };
  });
}

const events = Array.from({ length: 300 }, (_, index) => ({
  at_ms: START_MS + index * 1000,
  actor: index % 3 ? "edge" : "user:\"mïra\"",
  action: "released",
  subject: `1.2.${index}/jammy`,
  details: JSON.stringify({ why: `a, "b"\r\n${index}` }),
}));
const rows = chained(events);

const ndjson = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const csv = (rows) => {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const line = (row) =>
    [row.sequence, row.at_ms, row.at, ...[row.actor, row.action, row.subject, row.details].map(quoted), row.previous, row.hash].join(",");
  return ["sequence,at_ms,at,actor,action,subject,details,previous,hash", ...rows.map(line), ""].join("\r\n");
};

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const raw = (key) => Buffer.from(key.export({ format: "jwk" }).x, "base64url");
const idOf = (key, name = NAME) => createHash("sha256").update(`${name}\n\u0001`).update(raw(key)).digest().subarray(0, 4);
const KEY = { base64: raw(publicKey).toString("base64") };
KEY.pem = publicKey.export({ type: "spki", format: "pem" });
KEY.verifier = `${NAME}+${idOf(publicKey).toString("hex")}+${Buffer.concat([Buffer.of(1), raw(publicKey)]).toString("base64")}`;
KEY.answer = JSON.stringify({ name: NAME, keys: [{ id: idOf(publicKey).toString("hex"), key: KEY.base64, verifier_key: KEY.verifier, pem: KEY.pem, is_current: true }] });

/// A signed head of the first `count` rows.
function head(count, { of = rows, project = 1001, by = privateKey, key = publicKey } = {}) {
  const at = new Date(START_MS + 3_600_000).toISOString();
  const text = ["slipway-audit-head-v1", EDGE, project, count, of[count - 1].hash, at, ""].join("\n");
  const signature = Buffer.concat([idOf(key), sign(null, Buffer.from(text), by)]).toString("base64");
  return `${text}\n\u2014 ${NAME} ${signature}\n`;
}

let files = 0;
const write = async (text) => {
  const path = join(folder, `file-${(files += 1)}`);
  await writeFile(path, text);
  return path;
};

/// Checks texts as if they were files.
async function verify(audit, heads = [], key = KEY.base64, more = []) {
  const words = ["verify", "--audit", await write(audit), ...more];
  for (const text of heads) words.push("--head", await write(text));
  if (heads.length > 0) words.push("--key", await write(key));
  return slipway(words);
}

test("the rows, the head and the keys of the documentation hold", async () => {
  const page = await readFile(fileURLToPath(new URL("../../../docs/audit.md", import.meta.url)), "utf8");
  const block = (name) => page.match(new RegExp(`\`\`\`${name}\n([^]*?)\`\`\``))[1];
  for (const key of block("key").trim().split("\n")) {
    const ended = await verify(block("ndjson"), [block("head")], key);
    assert.deepEqual({ code: ended.code, err: ended.err }, { code: 0, err: "" });
    assert.match(ended.out, /rows 1 to 2 are those of project 1001 at https:\/\/slipway\.example\.com, as of 2026-11-23T00:05:00\.000Z\n/);
  }
});

test("an export in either format holds up to its head, with the key in each form", async () => {
  for (const text of [ndjson(rows), csv(rows)]) {
    for (const key of Object.values(KEY)) {
      const ended = await verify(text, [head(1) + head(256), head(300)], key);
      assert.deepEqual({ code: ended.code, err: ended.err }, { code: 0, err: "" });
      assert.match(ended.out, /300 rows, an unbroken chain/);
      assert.match(ended.out, new RegExp(`proved by 3 heads, the newest signed by ${NAME.replaceAll(".", "\\.")}\\+${idOf(publicKey).toString("hex")}: rows 1 to 300`));
      assert.doesNotMatch(ended.out, /not proved/i);
    }
  }
});

test("rows after the newest head are named, and without a head it is said loudly what is not proved", async () => {
  const after = await verify(ndjson(rows), [head(256)]);
  assert.equal(after.code, 0);
  assert.match(after.out, /not proved: rows 257 to 300 came after the newest head/);
  const alone = await verify(ndjson(rows));
  assert.equal(alone.code, 0);
  assert.match(alone.out, /NOT PROVED: that this is all/);
});

test("what is not the audit that was written ends with 5 and names the first wrong row", async () => {
  const changed = (at, change) => events.map((event, index) => (index === at ? { ...event, ...change } : event));
  const forged = (at, change) => rows.map((row, index) => (index === at ? { ...row, ...change } : row));
  const swapped = [...rows.slice(0, 6), rows[7], rows[6], ...rows.slice(8)];
  const heads = [head(1), head(256), head(300)];
  for (const [what, forgery, said] of [
    ["a changed row", forged(41, { actor: "user:jonas" }), /row 42 was changed/],
    ["a changed row with its own hash", forged(41, { actor: "user:jonas", hash: hashed({ ...rows[41], actor: "user:jonas" }) }), /row 43 does not continue/],
    ["a missing row", [...rows.slice(0, 41), ...rows.slice(42)], /row 42 is missing; row 43 stands in its place/],
    ["a doubled row", [...rows.slice(0, 42), ...rows.slice(41)], /row 43 is missing; row 42 stands in its place/],
    ["two rows in each other's place", swapped, /row 7 is missing; row 8 stands in its place/],
    ["a dropped end", rows.slice(0, 299), /ends with row 299, and row 300 was signed: the rows from 300 to 300 are missing/],
    ["a rebuilt chain", chained(changed(41, { actor: "user:jonas" })), /computed anew: row 256 has another hash.*some row from 2 to 256/],
    ["a chain that was rebuilt near its end", chained(changed(280, { actor: "user:jonas" })), /some row from 257 to 300/],
    ["a rebuilt chain without a row", chained(events.filter((_, index) => index !== 41)), /some row from 2 to 256/],
    ["another whole chain", chained(events.map((event) => ({ ...event, at_ms: event.at_ms + 1 }))), /some row from 1 to 1 /],
    ["another time for people", forged(41, { at: rows[42].at }), /row 42 is not written as the export writes it/],
  ]) {
    for (const text of [ndjson(forgery), csv(forgery)]) {
      const ended = await verify(text, heads);
      assert.equal(ended.code, 5, `${what}: ${ended.out}${ended.err}`);
      assert.match(ended.err, said, what);
    }
  }
  const empty = await verify("", []);
  assert.equal(empty.code, 5);
  const torn = await verify(ndjson(rows).slice(0, -1), heads);
  assert.match(torn.err, /row 300 is cut off/);
});

test("a file that is no audit is asked about and not called forged, and ends with 5 all the same", async () => {
  const texts = ["", "root:x:0:0:root:/root:/bin/sh\n", "no line's end", head(300), Buffer.of(0x1f, 0x8b, 8, 0, 10), "[[projects]]\n", "slipway\n", "<html>\n</html>\n"];
  for (const text of texts) {
    const { code, err } = await verify(text, []);
    assert.equal(code, 5, `${text}: ${err}`);
    assert.match(err, /does not read as the export of an audit\n[^]*Is it a file that `slipway audit FILE` has written\?/, text);
    assert.doesNotMatch(err, /not the one that was written/, text);
  }
  // What begins as an audit is one.
  const forged = await verify(ndjson(rows).replace('"at_ms":', '"at":'), []);
  assert.equal(forged.code, 5);
  assert.match(forged.err, /is not the one that was written/);
  assert.doesNotMatch(forged.err, /does not read/);
});

test("a head is believed only when a trusted key has signed it, and only heads of one audit go together", async () => {
  const other = generateKeyPairSync("ed25519");
  for (const [what, heads, said] of [
    ["another key", [head(300, { by: other.privateKey, key: other.publicKey })], /none of the keys that are trusted/],
    ["a forged signature", [head(300, { by: other.privateKey })], /is wrong: it was not made by this key/],
    ["a changed head", [head(300).replace("\n300\n", "\n299\n")], /is wrong/],
    ["a head of another project", [head(1), head(300, { project: 1002 })], /project 1002 .* project 1001/],
    ["two histories", [head(300), head(300, { of: chained(events.map((event) => ({ ...event, actor: "x" }))) })], /two histories/],
  ]) {
    const ended = await verify(ndjson(rows), heads);
    assert.equal(ended.code, 5, `${what}: ${ended.out}${ended.err}`);
    assert.match(ended.err, said, what);
  }
});

test("an audit is refused where its heads are of another project than the one that is meant", async () => {
  const own = await verify(ndjson(rows), [head(300)], KEY.base64, ["--project", "1001"]);
  assert.equal(own.code, 0, own.err);
  const other = await verify(ndjson(rows), [head(300)], KEY.base64, ["--project", "1002"]);
  assert.equal(other.code, 5);
  assert.match(other.err, /is of project 1001 .* and not of project 1002/);
});

test("what cannot be read is misuse, and so is a head without a key", async () => {
  const file = await write(ndjson(rows));
  for (const words of [
    ["verify", "--audit", join(folder, "none")],
    ["verify", "--audit", file, "--head", file],
    ["verify", "--audit", file, "--key", file],
    ["verify", "--audit", file, "--head", file, "--key", await write("no key")],
    ["verify", "--audit", file, "--head", await write("no head\n"), "--key", await write(KEY.base64)],
    ["verify", "--audit", file, "--version", "1.0"],
    ["verify", "--head", file],
    ["audit"],
  ]) {
    const ended = await slipway(words);
    assert.equal(ended.code, 2, `${words}: ${ended.out}${ended.err}`);
  }
});

test("with --json there is one document, whether it holds or not", async () => {
  const good = JSON.parse((await verify(ndjson(rows), [head(256)], KEY.base64, ["--json"])).out);
  assert.deepEqual([good.rows, good.proven, good.last_hash, good.heads[0].row], [300, 256, rows[299].hash, 256]);
  const bad = JSON.parse((await verify(ndjson(rows.slice(1)), [head(256)], KEY.base64, ["--json"])).out);
  assert.equal(bad.error.exit, 5);
});

test("`slipway audit` writes every page and the heads beside it, and what it writes holds", async () => {
  const signed = [head(1), head(256)];
  const edge = await serve(({ path, query, headers }) => {
    if (headers.authorization !== `Bearer ${OPERATOR_TOKEN}`) return { status: 401 };
    const text = (body, next) => ({
      type: "text/plain",
      headers: next ? { link: `<${path}?first=${next}>; rel="next"` } : {},
      stream: (out) => out.end(body),
    });
    const first = Number(query.first);
    if (path === "/api/v1/projects/tug/audit") return text(ndjson(rows.slice(first - 1, first + 99)), first + 100 <= rows.length && first + 100);
    if (path === "/api/v1/projects/tug/audit/heads") return first === 1 ? text(signed[0], 2) : text(signed[1]);
    return { status: 404 };
  });
  const file = join(folder, "audit.ndjson");
  const env = { SLIPWAY_URL: edge.url, SLIPWAY_PROJECT: "tug", SLIPWAY_OPERATOR_TOKEN: OPERATOR_TOKEN };
  const ended = await slipway(["audit", file], env);
  await edge.close();
  assert.deepEqual({ code: ended.code, err: ended.err }, { code: 0, err: "" });
  assert.equal(await readFile(file, "utf8"), ndjson(rows));
  assert.match(ended.out, /300 rows of tug/);
  assert.match(ended.out, /the newest of row 256/);
  const checked = await slipway(["verify", "--audit", file, "--head", `${file}.heads`, "--key", await write(KEY.pem)]);
  assert.equal(checked.code, 0, checked.err);
  assert.match(checked.out, /2 heads, the newest/);
});
