// The built command against small services: exit codes, what is sent, what is said.
// `cargo xtask build slipway`, then `node --test crates/slipway/tests/command.test.mjs`; SLIPWAY_BIN names another build.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ID_TOKEN, OPERATOR_TOKEN, SESSION, STAGING_TOKEN, edge, entry, packageServer, problem, rpm, serve, sha256, slipway } from "./services.mjs";

const FILENAME = "tug_1.2.0-1_amd64.deb";
const COMMANDS = ["plan", "session", "stage", "await", "release", "status", "verify", "hold", "close", "stop", "start", "login", "logout", "config", "doctor"];
const TOKEN = { SLIPWAY_STAGING_TOKEN: STAGING_TOKEN };
let folder;
let file;
let bytes;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "slipway-command-"));
  file = join(folder, FILENAME);
  // More than one piece of the upload, and not a whole number of them.
  bytes = randomBytes(2_500_001);
  await writeFile(file, bytes);
});
after(() => rm(folder, { recursive: true }));

/// An edge whose package `deb` goes through `server`, and is seen in staging as soon as it is there.
const watching = (server, script = () => {}) =>
  edge({
    packages: [entry("deb", { "ubuntu/jammy": "expected" }, server.url)],
    script: (request, release) => {
      const held = server.stored.has(`ubuntu/jammy ${FILENAME}`);
      release.packages[0].targets[0].state = held ? "staged" : "expected";
      return script(request, release);
    },
  });

/// Runs `test` with services that are closed afterwards.
const using = async (services, test) => {
  try {
    await test(...services);
  } finally {
    await Promise.all(services.map((service) => service.close()));
  }
};

test("each help page is printed, and asks for nothing", async () => {
  for (const name of COMMANDS) {
    const page = await readFile(new URL(`../src/help/${name}.txt`, import.meta.url), "utf8");
    assert.deepEqual(await slipway([name, "--help"]), { code: 0, out: page, err: "" });
  }
  const { code, out } = await slipway(["--help"]);
  assert.equal(code, 0);
  for (const word of [...COMMANDS, "SLIPWAY_URL", "SLIPWAY_STAGING_TOKEN", "Exit:"]) {
    assert.ok(out.includes(word), word);
  }
  assert.match((await slipway(["--version"])).out, /^slipway \d+\.\d+\.\d+\n$/);
});

test("a missing variable is named, all of them at once, before anything is sent", async () => {
  const { code, err } = await slipway(["stage", "deb", file]);
  assert.equal(code, 2);
  for (const name of ["SLIPWAY_URL", "SLIPWAY_ID_TOKEN", "SLIPWAY_PROJECT", "SLIPWAY_VERSION", "SLIPWAY_STAGING_TOKEN"]) {
    assert.ok(err.includes(`\`${name}\` is not set`), name);
  }
});

test("a wrong command line is exit 2", async () => {
  assert.equal((await slipway([])).code, 2);
  assert.equal((await slipway(["stage", "deb"])).code, 2);
  assert.equal((await slipway(["release", "--all", "deb"])).code, 2);
  assert.equal((await slipway(["stage", "deb", join(folder, "none.deb")], TOKEN)).code, 2);
});

test("a plan is declared with the job's session", async () =>
  using([await edge()], async (edge) => {
    const plan = join(folder, "slipway.packages.toml");
    await writeFile(plan, '[[package]]\nkey = "arm"\ndistros = ["raspbian/bookworm"]\nskip = "no runner"\n');
    const words = ["plan", "deb=ubuntu/noble,ubuntu/jammy", "el=ol/9,el/9:rpm:x86_64", "--packages", plan, "--jobs", '["deb", "el"]'];
    const { code, out, err } = await slipway(words, edge.variables);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.match(out, /deb +deb +ubuntu\/jammy, ubuntu\/noble +released by the job `release: \[deb\]`/);
    assert.match(out, /el +rpm x86_64 +el\/9, ol\/9 +released by the job `release: \[el\]`/);
    const [opened, declared] = edge.requests;
    assert.deepEqual(opened.json, { id_token: ID_TOKEN });
    assert.equal(opened.headers.authorization, undefined);
    assert.match(opened.headers["user-agent"], /^Slipway\/\d/);
    assert.equal(`${declared.method} ${declared.path}`, "PATCH /api/v1/projects/1001/releases/1.2.0");
    assert.equal(declared.headers.authorization, `Bearer ${SESSION}`);
    assert.deepEqual(declared.json, {
      packages: [
        {
          key: "deb",
          expect: { distros: ["ubuntu/jammy", "ubuntu/noble"], kind: "deb", release_job: "release: [deb]", environment: "release/deb" },
        },
        {
          key: "el",
          expect: {
            distros: ["el/9", "ol/9"],
            kind: "rpm",
            architecture: "x86_64",
            release_job: "release: [el]",
            environment: "release/el",
          },
        },
        {
          key: "arm",
          expect: { distros: ["raspbian/bookworm"], kind: "deb", release_job: "release: [arm]", environment: "release/arm", skip: "no runner" },
        },
      ],
    });
  }));

test("a wrong plan is exit 2 with every problem, and sends nothing", async () =>
  using([await edge()], async (edge) => {
    const words = ["plan", "deb=jammy", "UPPER=el/9", "--jobs", "ghost"];
    for (const more of [[], ["--dry-run"]]) {
      const { code, err } = await slipway([...words, ...more], edge.variables);
      assert.equal(code, 2);
      for (const part of ["`jammy` is not a distro", "`UPPER` is not a key", "`ghost` has a release job"]) assert.ok(err.includes(part), part);
    }
    assert.equal(edge.requests.length, 0);
  }));

test("what the edge says of a plan is shown: what was being done, why not, what next", async () => {
  for (const [status, expected] of [[422, 2], [403, 1]]) {
    const script = ({ method }) => method === "PATCH" && problem(status, "No route", "`deb` has no route for `el/9`. Add one.");
    await using([await edge({ script })], async (edge) => {
      const { code, err } = await slipway(["plan", "deb=el/9"], edge.variables);
      assert.equal(code, expected);
      assert.equal(err, `slipway: cannot declare the plan of 1.2.0\n  No route (${status})\n  \`deb\` has no route for \`el/9\`. Add one.\n`);
    });
  }
});

test("a refused ID token is exit 1 and says what a fresh one is", async () =>
  using([await edge()], async (edge) => {
    const { code, err } = await slipway(["session"], { ...edge.variables, SLIPWAY_ID_TOKEN: "old" });
    assert.equal(code, 1);
    assert.match(err, /cannot open a session for this job[^]*at most 5 minutes old/);
    assert.match((await slipway(["session"], edge.variables)).out, /^job 6 of tug has a session until 2026-11-23T11:15/);
  }));

test("a file is pushed with its exact bytes and a fixed length, and awaited until the edge sees it", async () => {
  const server = await packageServer();
  let looks = 0;
  // The edge needs three looks: declared, not yet seen, seen.
  const script = ({ method }, release) => {
    if (method === "PATCH" && ++looks < 3) release.packages[0].targets[0].state = "expected";
  };
  await using([server, await watching(server, script)], async (server, edge) => {
    const { code, out, err } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.equal(looks, 3);
    assert.match(out, /waiting until Slipway sees it in staging: ubuntu\/jammy\n`deb` is staged\n$/);
    const declared = edge.requests.find((request) => request.method === "PATCH");
    assert.deepEqual(declared.json, {
      packages: [{ key: "deb", staged: { filename: FILENAME, digest: sha256(bytes), size: bytes.length } }],
    });
    const [push] = server.pushes();
    assert.equal(push.headers["content-length"], String(push.body.length));
    assert.equal(push.headers["transfer-encoding"], undefined);
    assert.ok(server.stored.get(`ubuntu/jammy ${FILENAME}`).bytes.equals(bytes));
    // Only then, and only there, the token is sent.
    assert.ok(edge.requests.every((request) => !JSON.stringify(request.headers).includes("Basic")));
  });
});

test("every distro gets the file, and what is public already does not", async () => {
  const server = await packageServer();
  const targets = { "ubuntu/jammy": "expected", "ubuntu/noble": "expected", "debian/bookworm": "released" };
  const packages = [entry("deb", targets, server.url)];
  const script = (_, release) => {
    for (const target of release.packages[0].targets) if (server.stored.has(`${target.distro} ${FILENAME}`)) target.state = "staged";
  };
  await using([server, await edge({ packages, script })], async (server, edge) => {
    assert.equal((await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN })).code, 0);
    // Side by side, so in any order.
    assert.deepEqual([...server.stored.keys()].sort(), [`ubuntu/jammy ${FILENAME}`, `ubuntu/noble ${FILENAME}`]);
  });
});

test("staged again, nothing is pushed", async () => {
  const server = await packageServer();
  await using([server, await watching(server)], async (server, edge) => {
    server.hold(FILENAME, "ubuntu/jammy", bytes);
    const { code, out } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 0);
    assert.match(out, /nothing to push/);
    assert.equal(server.pushes().length, 0);
  });
});

test("a longer name in staging is not taken for the file", async () => {
  const server = await packageServer();
  await using([server, await watching(server)], async (server, edge) => {
    server.hold(`my-${FILENAME}`, "ubuntu/jammy", Buffer.from("other"));
    assert.equal((await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN })).code, 0);
    assert.equal(server.pushes().length, 1);
  });
});

test("other bytes in staging are a conflict: exit 3, both digests, nothing pushed", async () => {
  const server = await packageServer();
  await using([server, await watching(server)], async (server, edge) => {
    server.hold(FILENAME, "ubuntu/jammy", Buffer.from("other"));
    const { code, err } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 3);
    assert.ok(err.includes(sha256("other")) && err.includes(sha256(bytes)), err);
    assert.equal(server.pushes().length, 0);
  });
});

test("another digest than declared before is a conflict: exit 3, both digests, nothing pushed", async () => {
  const server = await packageServer();
  const script = ({ method }, release) => {
    release.packages[0].file = { filename: FILENAME, digest: sha256("before"), size: 6 };
    return method === "PATCH" && problem(409, "Other digest", "`deb` is declared with another digest.");
  };
  await using([server, await watching(server, script)], async (server, edge) => {
    const { code, err } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 3);
    assert.ok(err.includes(`declared before  ${sha256("before")}`) && err.includes(`this file        ${sha256(bytes)}`), err);
    assert.equal(server.requests.length, 0);
  });
});

test("a package that the plan leaves out is not staged, and its build does not fail for it", async () => {
  for (const [title, expected] of [["Skipped", 0], ["Not planned", 1]]) {
    const script = ({ method }) => method === "PATCH" && problem(409, title, "`deb` is what it is.");
    const server = await packageServer();
    await using([server, await watching(server, script)], async (server, edge) => {
      const { code, out, err } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
      assert.equal(code, expected);
      assert.ok((out + err).includes("`deb` is what it is."));
      assert.equal(server.requests.length, 0);
    });
  }
});

test("a push that is stored and then answered 504 is not repeated", async () => {
  const push = (store) => (store(), { status: 504, json: "<html>", type: "text/html" });
  const server = await packageServer({ push });
  await using([server, await watching(server)], async (server, edge) => {
    const { code, out } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 0);
    assert.match(out, /504[^]*looking whether it has arrived\nubuntu\/jammy: has arrived/);
    assert.equal(server.pushes().length, 1);
  });
});

test("a push that broke without effect is sent again", async () => {
  let pushes = 0;
  const server = await packageServer({ push: (store) => (++pushes === 1 ? "cut" : store()) });
  await using([server, await watching(server)], async (server, edge) => {
    const { code } = await slipway(["stage", "deb", file, "--timeout", "1"], { ...edge.variables, ...TOKEN });
    assert.equal(code, 0);
    assert.equal(pushes, 2);
    assert.ok(server.stored.get(`ubuntu/jammy ${FILENAME}`).bytes.equals(bytes));
  });
});

test("a push that never succeeds ends, with the reason", async () => {
  const server = await packageServer({ push: () => ({ status: 502, json: "bad gateway", type: "text/html" }) });
  await using([server, await watching(server)], async (server, edge) => {
    const { code, err } = await slipway(["stage", "deb", file, "--timeout", "0"], { ...edge.variables, ...TOKEN });
    assert.equal(code, 1);
    assert.match(err, /ubuntu\/jammy: .* answered 502/);
    assert.equal(server.pushes().length, 3);
  });
});

test("a duplicate is judged by its bytes", async () => {
  for (const [theirs, expected] of [[bytes, 0], [Buffer.from("other"), 3]]) {
    // Somebody else's push of the same name arrives first.
    const push = (store, file, stored) => {
      stored.set(`ubuntu/jammy ${FILENAME}`, { ...file, bytes: theirs });
      return store();
    };
    const server = await packageServer({ push });
    await using([server, await watching(server)], async (server, edge) => {
      const { code } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
      assert.equal(code, expected);
      assert.equal(server.pushes().length, 1);
    });
  }
});

test("a refusal in the middle of an upload is reported as it was meant", async () => {
  const begun = ({ method }) => method === "POST" && { status: 404, json: { error: "not_found" }, type: "application/json" };
  const server = await packageServer({ begun });
  await using([server, await watching(server)], async (server, edge) => {
    const { code, err } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 1);
    assert.match(err, /harbour-ci\/pre-release: 127\.0\.0\.1:\d+ answered 404[^]*cannot see or write this repository/);
    assert.equal(server.pushes().length, 1);
  });
});

test("a file that changes while it is sent is withheld: the server never has a whole body", async () => {
  const changing = join(folder, "changing", FILENAME);
  await mkdir(join(folder, "changing"));
  // Far more than the buffers on the way hold, so that its end is read after the change.
  await writeFile(changing, Buffer.alloc(64 * 1024 * 1024));
  const begun = async ({ method }) => {
    if (method !== "POST") return;
    const handle = await open(changing, "r+");
    await handle.write(Buffer.from("changed"), 0, 7, 64 * 1024 * 1024 - 7);
    await handle.close();
  };
  const server = await packageServer({ begun });
  await using([server, await watching(server)], async (server, edge) => {
    const { code, err } = await slipway(["stage", "deb", changing], { ...edge.variables, ...TOKEN });
    assert.equal(code, 1);
    assert.match(err, /the file has changed since it was hashed/);
    const [push] = server.pushes();
    assert.equal(push.complete, false);
    assert.equal(server.stored.size, 0);
  });
});

test("a distro is taken by its exact name, and an unknown one is refused before the upload", async () => {
  const server = await packageServer();
  await using([server, await edge({ packages: [entry("deb", { "ubuntu/jamm": "expected" }, server.url)] })], async (server, edge) => {
    const { code, err } = await slipway(["stage", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 1);
    assert.match(err, /takes no deb packages for ubuntu\/jamm\n/);
    assert.equal(server.pushes().length, 0);
  });
});

test("a package that the edge never sees is exit 4 and says what is awaited", async () => {
  const server = await packageServer();
  await using([server, await edge({ packages: [entry("deb", { "ubuntu/jammy": "expected" }, server.url)] })], async (server, edge) => {
    const { code, err } = await slipway(["stage", "deb", file, "--timeout", "1"], { ...edge.variables, ...TOKEN });
    assert.equal(code, 4);
    assert.match(err, /not seen it in staging within 1 s: ubuntu\/jammy/);
  });
});

test("an rpm is filed under the name in its own header, and pushed for each of its distro versions", async () => {
  const path = join(folder, "latest.rpm");
  const contents = rpm({ name: "tug", version: "1.2.0~rc1", release: "2.el9", architecture: "x86_64" });
  await writeFile(path, contents);
  const server = await packageServer();
  const packages = [entry("el", { "el/9": "expected", "ol/9": "expected" }, server.url)];
  const script = (_, release) => {
    for (const target of release.packages[0].targets) if (server.stored.has(`${target.distro} tug-1.2.0~rc1-2.el9.x86_64.rpm`)) target.state = "staged";
  };
  await using([server, await edge({ packages, script })], async (server, edge) => {
    const { code, out, err } = await slipway(["stage", "el", path], { ...edge.variables, ...TOKEN });
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    // Both are pushed at once, so that either may be the first.
    assert.deepEqual([...server.stored.keys()].sort(), ["el/9 tug-1.2.0~rc1-2.el9.x86_64.rpm", "ol/9 tug-1.2.0~rc1-2.el9.x86_64.rpm"]);
    assert.ok([...server.stored.values()].every((file) => file.bytes.equals(contents)), out);
    const declared = edge.requests.find((request) => request.method === "PATCH").json.packages[0].staged;
    assert.deepEqual(declared, { filename: "tug-1.2.0~rc1-2.el9.x86_64.rpm", digest: sha256(contents), size: contents.length });
  });
});

test("a distro version that has the rpm already is not pushed again when the other lacks it", async () => {
  const path = join(folder, "tug.rpm");
  const contents = rpm({ name: "tug", version: "1.2.0", release: "1", architecture: "noarch" });
  await writeFile(path, contents);
  const server = await packageServer();
  const packages = [entry("el", { "el/9": "expected", "ol/9": "expected" }, server.url)];
  const script = (_, release) => {
    for (const target of release.packages[0].targets) if (server.stored.has(`${target.distro} tug-1.2.0-1.noarch.rpm`)) target.state = "staged";
  };
  await using([server, await edge({ packages, script })], async (server, edge) => {
    server.hold("tug-1.2.0-1.noarch.rpm", "el/9", contents);
    const { code, out } = await slipway(["stage", "el", path], { ...edge.variables, ...TOKEN });
    assert.equal(code, 0);
    assert.match(out, /el\/9: is there already, nothing to push[^]*ol\/9: pushed/);
    assert.equal(server.pushes().length, 1);
  });
});

test("a source rpm, and a file that is no rpm, are refused before anything is sent", async () => {
  const source = rpm({ name: "tug", version: "1.2.0", release: "1", architecture: "x86_64", source: true });
  for (const [contents, why] of [[source, /it is a source package: [^]*stage the rpm that was built from it/], [bytes, /it is not an rpm: it does not begin like one/]]) {
    const path = join(folder, "tug-1.2.0-1.src.rpm");
    await writeFile(path, contents);
    await using([await edge({ packages: [entry("el", { "el/9": "expected" })] })], async (edge) => {
      const { code, err } = await slipway(["stage", "el", path], { ...edge.variables, ...TOKEN });
      assert.equal(code, 2);
      assert.match(err, why);
      assert.equal(edge.requests.length, 0);
    });
  }
});

const OLD = Buffer.from("the old bytes");

/// A release whose `deb` was staged with `OLD`, and which is seen in staging with its declared digest alone.
const replacing = async ({ targets = { "ubuntu/jammy": "staged" }, oldName = FILENAME, script = () => {} } = {}) => {
  const server = await packageServer({ script });
  for (const distro of Object.keys(targets)) server.hold(oldName, distro, OLD);
  const packages = [entry("deb", targets, server.url)];
  packages[0].file = { filename: oldName, digest: sha256(OLD), size: OLD.length };
  const seen = ({ method }, { packages: [{ file, targets }] }) => {
    if (method !== "GET" && method !== "PATCH") return;
    for (const target of targets) {
      const held = server.stored.get(`${target.distro} ${file.filename}`);
      if (target.state === "expected" && held && sha256(held.bytes) === file.digest) target.state = "staged";
    }
  };
  return [server, await edge({ packages, script: (request, release) => seen(request, release) })];
};

test("bytes that nobody approved are replaced: declared, then deleted, then pushed, for each distro version", async () =>
  using(await replacing({ targets: { "ubuntu/jammy": "staged", "ubuntu/noble": "staged" } }), async (server, edge) => {
    const order = [];
    for (const { requests } of [server, edge]) {
      const push = requests.push.bind(requests);
      requests.push = (request) => (order.push(request.method), push(request));
    }
    const { code, out, err } = await slipway(["stage", "--replace", "deb", file], { ...edge.variables, ...TOKEN });
    assert.deepEqual({ code, err }, { code: 0, err: "" }, out);
    assert.ok(order.indexOf("PATCH") < order.indexOf("DELETE") && order.indexOf("DELETE") < order.lastIndexOf("POST"), order.join());
    const declared = edge.requests.filter((request) => request.method === "PATCH").map((request) => request.json.packages[0].replace ?? false);
    // Waiting for it, the command no longer asks to replace: somebody else may have declared other bytes since.
    assert.equal(declared.shift(), true);
    assert.ok(declared.length > 0 && declared.every((replace) => !replace));
    // Side by side, so in any order.
    assert.deepEqual([...server.stored.keys()].sort(), [`ubuntu/jammy ${FILENAME}`, `ubuntu/noble ${FILENAME}`]);
    assert.ok([...server.stored.values()].every((file) => file.bytes.equals(bytes)));
    assert.equal(server.deletions().length, 2);
  }));

test("the old file goes also when the new one has another name", async () => {
  const oldName = "tug_1.2.0-0_amd64.deb";
  await using(await replacing({ oldName }), async (server, edge) => {
    assert.equal((await slipway(["stage", "deb", file, "--replace"], { ...edge.variables, ...TOKEN })).code, 0);
    assert.deepEqual([...server.stored.keys()], [`ubuntu/jammy ${FILENAME}`]);
    assert.deepEqual(server.deletions(), [`/api/v1/repos/harbour-ci/pre-release/ubuntu/jammy/${oldName}`]);
  });
});

test("what is approved or public is not replaced: exit 3, in the edge's words, and nothing is deleted", async () => {
  for (const state of ["approved", "releasing", "released"]) {
    await using(await replacing({ targets: { "ubuntu/jammy": state } }), async (server, edge) => {
      const { code, err } = await slipway(["stage", "--replace", "deb", file], { ...edge.variables, ...TOKEN });
      assert.equal(code, 3);
      assert.match(err, new RegExp(`cannot be replaced: its target ubuntu/jammy is ${state}\\.`));
      assert.equal(server.requests.length, 0);
    });
  }
});

test("bytes that were never declared are not deleted: exit 3, both digests", async () =>
  using(await replacing(), async (server, edge) => {
    server.hold(FILENAME, "ubuntu/jammy", Buffer.from("somebody's"));
    const { code, err } = await slipway(["stage", "--replace", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 3);
    for (const digest of [sha256("somebody's"), sha256(OLD), sha256(bytes)]) assert.ok(err.includes(digest), err);
    assert.deepEqual(server.deletions(), []);
    assert.equal(server.stored.get(`ubuntu/jammy ${FILENAME}`).bytes.toString(), "somebody's");
  }));

test("a staging conflict is exit 3 in the edge's words with `--replace`, too: nothing was declared, so nothing is deleted", async () =>
  using(await replacing(), async (server, edge) => {
    // As the edge does: it looks at staging before it records anything.
    edge.kill.hook = (answer, { method }) =>
      method === "PATCH" ? problem(409, "Staging conflict", "Staging has another file of that name.") : answer();
    const { code, err } = await slipway(["stage", "--replace", "deb", file], { ...edge.variables, ...TOKEN });
    assert.equal(code, 3);
    assert.match(err, /Staging has another file of that name\./);
    assert.deepEqual(server.requests, []);
    assert.ok(server.stored.get(`ubuntu/jammy ${FILENAME}`).bytes.equals(OLD));
  }));

test("a replacement that another replacement overtook is finished, too", async () =>
  using(await replacing(), async (server, edge) => {
    // Declared before, and killed before it deleted anything: staging has still older bytes than the declared ones.
    const between = { filename: FILENAME, digest: sha256("between"), size: 7 };
    Object.assign(edge.release.packages[0], { file: between, replaced: [{ filename: FILENAME, digest: sha256(OLD) }] });
    assert.equal((await slipway(["stage", "--replace", "deb", file], { ...edge.variables, ...TOKEN })).code, 0);
    assert.ok(server.stored.get(`ubuntu/jammy ${FILENAME}`).bytes.equals(bytes));
  }));

/// Runs `stage`, kills it at each of its requests in turn, and runs it again.
const survives = async (words, begin, requestsMin) => {
  /// Runs it, and kills it at request `at`: before the request is done, or after it is done and before it is answered.
  const run = async ([server, edge], at, done) => {
    let count = 0;
    let child;
    for (const service of [server, edge]) service.kill.hook = (answer) => {
      count += 1;
      if (count !== at) return answer();
      if (done) answer();
      child.kill("SIGKILL");
      return "cut";
    };
    const result = await slipway(words, { ...edge.variables, ...TOKEN }, (started) => (child = started));
    for (const service of [server, edge]) service.kill.hook = (answer) => answer();
    return { ...result, count };
  };
  const calm = await begin();
  let total;
  await using(calm, async () => {
    const { code, count } = await run(calm, 0, false);
    assert.equal(code, 0);
    total = count;
  });
  assert.ok(total >= requestsMin, `${total} requests`);
  for (let at = 1; at <= total; at += 1) {
    for (const done of [false, true]) {
      const services = await begin();
      await using(services, async (server, edge) => {
        const killed = await run(services, at, done);
        assert.equal(killed.code, null, `request ${at}`);
        const again = await run(services, 0, false);
        assert.equal(again.code, 0, `killed at request ${at}, ${done ? "done" : "not done"}: ${again.err}`);
        assert.deepEqual([...server.stored.keys()], [`ubuntu/jammy ${FILENAME}`]);
        assert.ok(server.stored.get(`ubuntu/jammy ${FILENAME}`).bytes.equals(bytes), `request ${at}`);
        assert.equal(edge.release.packages[0].file.digest, sha256(bytes));
      });
    }
  }
};

test("a replacement that is killed at any request and run again ends right", () =>
  survives(["stage", "--replace", "deb", file], () => replacing(), 10));

test("a stage that is killed at any request and run again ends right", () => {
  const begin = async () => {
    const server = await packageServer();
    return [server, await watching(server)];
  };
  return survives(["stage", "deb", file], begin, 6);
});

/// An edge whose package `deb` goes through `states`, one a look, as a long poll shows them.
const moving = (states, change = () => {}) =>
  edge({
    packages: [entry("deb", { "ubuntu/jammy": "staged" }), entry("rpm", { "el/9": "failed" })],
    script: ({ method, query }, release) => {
      if (method !== "GET") return;
      if (query.since !== undefined) assert.deepEqual(query, { timeout: "25", since: String(release.sequence) });
      release.sequence += 1;
      const [target] = release.packages[0].targets;
      target.state = states.shift() ?? target.state;
      change(target);
    },
  });

test("a release is followed to its end, a line a change", async () =>
  using([await moving(["approved", "approved", "releasing", "released"])], async (edge) => {
    const { code, out, err } = await slipway(["release", "deb"], edge.variables);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.deepEqual(out.trimEnd().split("\n"), [
      "approved: `deb`",
      "deb  ubuntu/jammy  harbour/stable  Waiting its turn",
      "deb  ubuntu/jammy  harbour/stable  Releasing",
      "deb  ubuntu/jammy  harbour/stable  Released",
      "released: `deb`",
    ]);
    const asked = edge.requests.find((request) => request.path.endsWith("/promotions"));
    assert.deepEqual(asked.json, { keys: ["deb"] });
  }));

test("a failed release is exit 1, with what happened and what to do", async () => {
  const change = (target) => {
    if (target.state !== "conflict") return;
    const [what, next] = ["The public file has other contents.\u001b[2J", "Withdraw it, or build a new version."];
    target.problem = { code: "conflict", what, public: "done", retry: "useless", next };
  };
  await using([await moving(["approved", "conflict"], change)], async (edge) => {
    const { code, out, err } = await slipway(["release", "deb", "--json"], edge.variables);
    assert.equal(code, 1);
    // A program that asked for JSON gets the release also when it is not as wished.
    assert.equal(JSON.parse(out).packages[0].targets[0].state, "conflict");
    assert.match(err, /cannot release `deb` of 1\.2\.0\n  deb  ubuntu\/jammy  Conflict\n/);
    assert.match(err, /other contents\.\ufffd\[2J[^]*does not help[^]*next: Withdraw it/);
  });
});

test("bytes on their way are a line in ten seconds, with the rate and the end", async () => {
  const second = (seconds) => new Date(Date.UTC(2026, 10, 23, 9, 0, seconds)).toISOString();
  const sights = [[0, 0], [4, 40e6], [11, 110e6], [15, 150e6], [22, 220e6]];
  const packages = [entry("deb", { "ubuntu/jammy": "releasing" })];
  packages[0].file = { filename: FILENAME, digest: sha256(bytes), size: 456e6 };
  const script = ({ method, query }, release) => {
    if (method !== "GET") return;
    // While bytes move, the edge is asked to answer sooner.
    if (query.since !== undefined) assert.equal(query.timeout, "10");
    release.sequence += 1;
    const [target] = release.packages[0].targets;
    const sight = sights.shift();
    if (!sight) return void Object.assign(target, { state: "released", step: undefined, bytes: undefined });
    release.at = second(sight[0]);
    Object.assign(target, { step: "copy", bytes: sight[1] });
    release.estimate = { ends_at: second(46), bytes_left: 456e6 - sight[1], bytes_per_second: 10e6 };
  };
  await using([await edge({ packages, script })], async (edge) => {
    const { code, out, err } = await slipway(["release", "deb"], edge.variables);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.deepEqual(out.trimEnd().split("\n").slice(1, -1), [
      "deb  ubuntu/jammy  harbour/stable  Releasing: copying",
      "deb  ubuntu/jammy  harbour/stable  110.0 of 456.0 MB (24 %), 10.0 MB/s",
      "all that is on its way: released about 09:00:46 UTC, in 35 s; 346.0 MB left at 10.0 MB/s",
      "deb  ubuntu/jammy  harbour/stable  220.0 of 456.0 MB (48 %), 10.0 MB/s",
      "all that is on its way: released about 09:00:46 UTC, in 24 s; 236.0 MB left at 10.0 MB/s",
      "deb  ubuntu/jammy  harbour/stable  Released",
    ]);
  });
});

test("a long copy is carried by the job's own request, asked for again when the connection is lost", async () => {
  const packages = [entry("deb", { "ubuntu/jammy": "releasing" })];
  const [target] = packages[0].targets;
  target.step = "carry";
  const carries = [];
  const script = ({ method, path, json, headers }, release) => {
    release.sequence += 1;
    if (!path.endsWith("/carries")) return;
    carries.push({ method, json, authorization: headers.authorization });
    const stream = async (outgoing) => {
      outgoing.write('"carrying"\n');
      // Lost in the middle, once; then to its end.
      if (carries.length === 1) return void setImmediate(() => outgoing.destroy());
      outgoing.end('"carrying"\n"ended"\n');
      Object.assign(target, { state: "released", step: undefined });
    };
    return { type: "application/x-ndjson", stream };
  };
  await using([await edge({ packages, script })], async (edge) => {
    const { code, out, err } = await slipway(["release", "deb"], edge.variables);
    assert.deepEqual({ code, err }, { code: 0, err: "" }, out);
    const asked = { method: "POST", json: { key: "deb", distro: "ubuntu/jammy" }, authorization: `Bearer ${SESSION}` };
    assert.deepEqual(carries, [asked, asked]);
    assert.equal(out.match(/takes longer than Slipway may copy by itself: this job's connection carries it/g).length, 1);
    assert.match(out, /the connection that carried it was lost \([^)]+\); it is asked for again/);
  });
});

test("a copy that this job may not carry is asked for once, and the release is followed all the same", async () => {
  const packages = [entry("deb", { "ubuntu/jammy": "releasing" })];
  const [target] = packages[0].targets;
  target.step = "carry";
  let carries = 0;
  let looks = 0;
  const script = ({ method, path }, release) => {
    release.sequence += 1;
    if (path.endsWith("/carries")) return (carries += 1), problem(403, "Not allowed", "Only the job that released it carries it.");
    // Another job carries it meanwhile.
    if (method === "GET" && carries > 0 && ++looks > 4) Object.assign(target, { state: "released", step: undefined });
  };
  await using([await edge({ packages, script })], async (edge) => {
    const { code, out } = await slipway(["release", "deb"], edge.variables);
    assert.equal(code, 0);
    assert.equal(carries, 1);
    assert.match(out, /this job does not carry it: Only the job that released it carries it\./);
  });
});

test("a command that ends while it carries a copy ends at once", async () => {
  const packages = [entry("deb", { "ubuntu/jammy": "releasing" })];
  packages[0].targets[0].step = "carry";
  let closed;
  const lost = new Promise((resolve) => (closed = resolve));
  const script = ({ path }, release) => {
    release.sequence += 1;
    // Held open until the other side goes away.
    const stream = (outgoing) => (outgoing.write('"carrying"\n'), outgoing.on("close", closed));
    return path.endsWith("/carries") ? { type: "application/x-ndjson", stream } : undefined;
  };
  await using([await edge({ packages, script })], async (edge) => {
    assert.equal((await slipway(["release", "deb", "--timeout", "1"], edge.variables)).code, 4);
    await lost;
  });
});

test("what a service left behind is shown with what went wrong", async () => {
  const change = (target) => {
    const evidence = { host: "packages.example.com", status: 504, request_id: "5f2c-11" };
    const [what, next] = ["The public server answered 504.", "Play the job again."];
    target.problem = { code: "unreachable", what, public: "none", retry: "safe", next, evidence };
  };
  await using([await moving(["releasing", "failed"], change)], async (edge) => {
    const { code, out, err } = await slipway(["release", "deb"], edge.variables);
    assert.equal(code, 1);
    assert.match(out, /Releasing: The public server answered 504\. \(packages\.example\.com answered 504, request 5f2c-11\)/);
    assert.match(err, /evidence: packages\.example\.com answered 504, request 5f2c-11\n +next: Play the job again\./);
  });
});

test("status shows one target with everything that was tried for it", async () => {
  const [{ targets }] = [entry("deb", { "ubuntu/jammy": "released" })];
  const attempt = { number: 1, approval: 7, began_at: "2026-11-23T09:00:00.000Z", ended_at: "2026-11-23T09:01:00.000Z", act: "copy", ended: "accepted" };
  const script = ({ path }) =>
    path.endsWith("/releases/1.2.0/targets/deb/ubuntu/jammy") && { json: { key: "deb", target: targets[0], attempts: [attempt] } };
  await using([await edge({ script })], async (edge) => {
    const { code, out } = await slipway(["status", "deb", "ubuntu/jammy"], edge.variables);
    assert.equal(code, 0);
    assert.match(out, /^deb  ubuntu\/jammy  harbour\/stable  Released since 2026-11-23 08:15 UTC\n/);
    assert.match(out, /\n1 +7 +2026-11-23 09:00:00  2026-11-23 09:01:00  copy  accepted\n/);
    const json = JSON.parse((await slipway(["status", "deb", "ubuntu/jammy", "--json"], edge.variables)).out);
    assert.deepEqual(json.attempts.map(({ act, ended }) => [act, ended]), [["copy", "accepted"]]);
  });
});

test("a closed gate is shown at once", async () => {
  const script = ({ path }) => path.endsWith("/promotions") && problem(409, "Gate closed", "`deb` may be released after 14:00.");
  await using([await edge({ packages: [entry("deb", { "ubuntu/jammy": "staged" })], script })], async (edge) => {
    const { code, err } = await slipway(["release", "deb"], edge.variables);
    assert.equal(code, 1);
    assert.match(err, /Gate closed \(409\)\n  `deb` may be released after 14:00\./);
  });
});

test("a release that takes too long is exit 4, and is not given up", async () =>
  using([await moving(["approved"])], async (edge) => {
    const { code, err } = await slipway(["release", "deb", "--timeout", "0"], edge.variables);
    assert.equal(code, 4);
    assert.match(err, /Slipway goes on/);
  }));

test("an edge that is away for a moment is asked again", async () => {
  let away = 2;
  const script = ({ method }) => (method === "GET" && away-- > 0 ? (away === 1 ? "cut" : { status: 503, json: {}, type: "text/html" }) : undefined);
  await using([await edge({ packages: [entry("deb", { "ubuntu/jammy": "released" })], script })], async (edge) => {
    const { code, err } = await slipway(["release", "deb"], edge.variables);
    assert.equal(code, 0, err);
    assert.match(err, /trying again for another \d+ s\n[^]*answered 503[^]*trying again for another \d+ s\n$/);
  });
});

test("an edge that stays away is complained of once, with how long it is waited for", async () => {
  let away = 3;
  const script = ({ method }) => (method === "GET" && away-- > 0 ? { status: 503, json: {}, type: "text/html" } : undefined);
  await using([await edge({ packages: [entry("deb", { "ubuntu/jammy": "released" })], script })], async (edge) => {
    const { code, err } = await slipway(["status", "--timeout", "60"], edge.variables);
    assert.equal(code, 0, err);
    assert.match(err, /^slipway: [^\n]*answered 503[^\n]*; trying again for another (60|59) s\n$/);
  });
});

test("the list of what is staged, without a version, tells of the list of all", async () => {
  await using([await edge()], async (edge) => {
    const { CI_COMMIT_TAG, ...variables } = edge.variables;
    const { code, err } = await slipway(["retention"], variables);
    assert.equal(code, 2);
    assert.match(err, /`SLIPWAY_VERSION` is not set[^]*`slipway retention --all` lists every release/);
    const named = await slipway(["retention"], { ...variables, SLIPWAY_VERSION: "../1" });
    assert.equal(named.code, 2);
    assert.doesNotMatch(named.err, /--all/);
  });
});

test("an edge that stays away is exit 1, named by its host alone", async () => {
  const server = await serve(() => "cut");
  await using([server], async (server) => {
    const variables = { SLIPWAY_URL: `${server.url}/s3cret-path`, SLIPWAY_PROJECT: "tug", SLIPWAY_VERSION: "1" };
    const { code, err } = await slipway(["status", "--timeout", "0"], variables);
    assert.equal(code, 1);
    assert.match(err, /cannot read the release 1\n  no answer from 127\.0\.0\.1:\d+: /);
    assert.ok(!err.includes("s3cret-path"), err);
  });
});

test("a redirect is not followed: a credential never goes elsewhere", async () => {
  const elsewhere = await edge();
  const script = ({ path }) => ({ status: 307, headers: { location: `${elsewhere.url}${path}` } });
  await using([elsewhere, await edge({ script })], async (elsewhere, edge) => {
    const { code, err } = await slipway(["plan", "deb=el/9"], edge.variables);
    assert.equal(code, 1);
    assert.match(err, /cannot open a session[^]*answered 307/);
    assert.equal(elsewhere.requests.length, 0);
  });
});

test("status shows the verdict, then every expected package; anyone may read without a token", async () =>
  using([await edge({ packages: [entry("deb", { "ubuntu/jammy": "expected" }), entry("rpm", { "el/9": "released" })] })], async (edge) => {
    const { SLIPWAY_ID_TOKEN, ...variables } = edge.variables;
    const { code, out } = await slipway(["status"], variables);
    assert.equal(code, 0);
    assert.equal(
      out,
      "packages are awaited\n\n" +
        "KEY  FOR           STATE           BYTES  TRIES  SHA-256  SINCE (UTC)       APPROVED BY\n" +
        "deb  ubuntu/jammy  Not staged yet  -      0      -        2026-11-23 08:15\n" +
        "rpm  el/9          Released        -      0      -        2026-11-23 08:15\n",
    );
    assert.deepEqual(edge.requests.map(({ path }) => path.split("/").at(-1)), ["1.2.0", "strangers"]);
    assert.ok(edge.requests.every(({ headers }) => headers.authorization === undefined));
    const json = JSON.parse((await slipway(["status", "--json"], variables)).out);
    assert.deepEqual(json.packages.map(({ key }) => key), ["deb", "rpm"]);
  }));

test("an unknown release is exit 1 with the edge's words", async () =>
  using([await edge()], async (edge) => {
    const { code, err } = await slipway(["status"], { ...edge.variables, SLIPWAY_VERSION: "9.9" });
    assert.equal(code, 1);
    assert.match(err, /cannot read the release 9\.9\n  No such thing \(404\)/);
  }));

test("a release whose approval is taken back before anything was begun ends red with the reason: exit 1", async () => {
  for (const [code, what, next] of [
    ["lapsed", "Its approval lapsed at 2026-11-23 14:00:00 UTC, before its turn came. Nothing was begun.", "Play the release job again."],
    ["blocked", "It was approved, and it is on hold by user:nell: wrong notes. Nothing was begun.", "Play the release job again once it is open."],
  ]) {
    const packages = [entry("a", { "ubuntu/jammy": "staged" })];
    const [target] = packages[0].targets;
    const script = ({ path, query }, release) => {
      if (path.endsWith("/promotions")) target.state = "approved";
      if (!query.since) return;
      release.sequence += 1;
      Object.assign(target, { state: "staged", problem: { code, what, public: "none", retry: "safe", next } });
    };
    const edges = await edge({ packages, script });
    try {
      const { code: ended, out, err } = await slipway(["release", "a"], edges.variables);
      assert.equal(ended, 1, out + err);
      assert.match(out, /a {2}ubuntu\/jammy {2}harbour\/stable {2}Waiting its turn\n[^]*Staged\n/);
      assert.ok(err.includes(what) && err.includes(`next: ${next}`), err);
    } finally {
      await edges.close();
    }
  }
});

test("with --json there is one JSON document on standard output however it ends, and the sentences on standard error", async () => {
  for (const [words, exit, part] of [
    ["statsu --json", 2, "`statsu` is not a command; `status` is"],
    ["status --json", 2, "`SLIPWAY_URL` is not set"],
    ["config check absent.toml --json", 2, "ENOENT"],
  ]) {
    const { code, out, err } = await slipway(words.split(" "));
    const { error } = JSON.parse(out);
    assert.deepEqual([code, error.exit], [exit, exit], words);
    assert.ok(error.why.some((line) => line.includes(part)), out);
    assert.ok(err.includes(part), err);
  }
  await using([await edge({ packages: [entry("deb", { "ubuntu/jammy": "approved" })] })], async (edge) => {
    const { code, out } = await slipway(["release", "deb", "--timeout", "0", "--json"], edge.variables);
    assert.equal(code, 4);
    assert.equal(JSON.parse(out).packages[0].key, "deb");
  });
});

test("a web page is no Slipway: it is asked once, and the doctor says so, too", async () => {
  for (const [path, answer, said] of [
    ["page", { status: 200, json: "<html>Sign in</html>", type: "text/html; charset=utf-8" }, /answered 200 OK: a web page, where Slipway answers with JSON/],
    ["sent", { status: 302, headers: { location: "https://sso.example.com/?token=s3cret" } }, /answered 302 Found: it sends on to sso\.example\.com/],
  ]) {
    await using([await serve(() => answer)], async (server) => {
      const variables = { SLIPWAY_URL: `${server.url}/${path}`, SLIPWAY_PROJECT: "tug", SLIPWAY_VERSION: "1" };
      const { code, err } = await slipway(["status"], variables);
      assert.equal(code, 1);
      assert.match(err, said);
      assert.match(err, /Check that `SLIPWAY_URL` is the address of Slipway/);
      assert.ok(!err.includes("s3cret") && !err.includes("trying again"), err);
      const seen = await slipway(["doctor"], variables);
      assert.equal(seen.code, 6);
      assert.match(seen.out, /FINDING +edge reachable +.* is no Slipway: check `SLIPWAY_URL`/);
    });
  }
});

test("a version, a key or a distro that is not there is answered with those that are", async () => {
  const packages = [entry("deb", { "ubuntu/jammy": "released" })];
  const script = ({ path }) => {
    if (path.endsWith("/projects/1001/releases")) return { json: [{ version: "1.2.0", state: "complete", verdict: "out" }] };
    if (path.includes("/targets/") || path.endsWith("/releases/1.2.O")) return problem(404, "not-found", "It is not here.");
  };
  await using([await edge({ packages, script })], async (edge) => {
    const said = async (...words) => (await slipway(["status", ...words], edge.variables)).err;
    assert.match(await said("--version", "1.2.O"), /Releases of `1001`: 1\.2\.0 \(did you mean `1\.2\.0`\?\)/);
    assert.match(await said("dbe", "ubuntu/jammy"), /Its keys: deb \(did you mean `deb`\?\)/);
    assert.match(await said("deb", "ubuntu/noble"), /`deb` is for: ubuntu\/jammy\./);
  });
});

/// How the switch stands, with these projects that have not heard of it.
const switched = (stopped, unheard = []) => ({
  ...(stopped ? { stopped } : {}),
  projects: ["tug", "pilot"].map((name, index) => ({
    project: { id: 1001 + index, name },
    has_heard: !unheard.includes(name),
    ...(stopped && !unheard.includes(name) ? { stopped } : {}),
  })),
});
const WHY = "a wrong package is public";
const STOPPED = { by: "operator", reason: WHY, at: "2026-11-23T08:15:12.000Z" };

test("an operator stops and starts everything with one word and a reason, and it has ended when every project has heard", async () => {
  let looks = 0;
  const script = ({ method, path, headers, json }) => {
    if (path !== "/api/v1/stop") return undefined;
    if (headers.authorization !== `Bearer ${OPERATOR_TOKEN}`) return problem(403, "Not allowed", "For the operator.");
    if (method === "DELETE") return { json: switched(null) };
    if (method === "POST") assert.deepEqual(json, { reason: WHY });
    looks += 1;
    return looks < 2 ? { status: 202, json: switched(STOPPED, ["pilot"]) } : { json: switched(STOPPED) };
  };
  await using([await edge({ script })], async (edge) => {
    // No project and no version is needed.
    const env = { SLIPWAY_URL: edge.url, SLIPWAY_OPERATOR_TOKEN: OPERATOR_TOKEN };
    const stopped = await slipway(["stop", "--reason", WHY], env);
    assert.equal(stopped.code, 0, stopped.err);
    assert.match(stopped.out, /stopped: nothing is published or deleted until `slipway start`; 2 of 2 projects/);
    assert.deepEqual(edge.requests.map(({ method }) => method), ["POST", "GET"]);
    const started = await slipway(["start", "--reason", "taken back", "--json"], env);
    assert.equal(started.code, 0, started.err);
    assert.equal(JSON.parse(started.out).stopped, undefined);
    assert.match(started.err, /started: what waited goes on/);
  });
});

test("a project that does not hear of a stop is named, and the stop is exit 1", async () => {
  const script = ({ path }) => (path === "/api/v1/stop" ? { status: 202, json: switched(STOPPED, ["pilot"]) } : undefined);
  await using([await edge({ script })], async (edge) => {
    const env = { SLIPWAY_URL: edge.url, SLIPWAY_OPERATOR_TOKEN: OPERATOR_TOKEN };
    const { code, err } = await slipway(["stop", "--reason", WHY, "--timeout", "2"], env);
    assert.equal(code, 1);
    assert.match(err, /have not heard of it, so what they have begun may go on: pilot/);
  });
});

test("one project is stopped by its name, and a project that stays stopped for another reason says so", async () => {
  const script = ({ method, path }) =>
    path === "/api/v1/projects/tug/stop" && ["POST", "DELETE"].includes(method) ? { json: STOPPED } : undefined;
  await using([await edge({ script })], async (edge) => {
    const env = { SLIPWAY_URL: edge.url, SLIPWAY_OPERATOR_TOKEN: OPERATOR_TOKEN };
    const stopped = await slipway(["stop", "--project", "tug", "--reason", WHY], env);
    assert.deepEqual([stopped.code, /nothing of tug is published/.test(stopped.out)], [0, true], stopped.err);
    const started = await slipway(["start", "--project", "tug", "--reason", "mended"], env);
    assert.match(started.out, /is still stopped by operator: a wrong package is public/);
  });
});

test("without the operator's credential nothing is stopped, and nothing is sent", async () =>
  using([await edge()], async (edge) => {
    const { code, err } = await slipway(["stop", "--reason", WHY], edge.variables);
    assert.equal(code, 2);
    assert.match(err, /`SLIPWAY_OPERATOR_TOKEN` is not set/);
    assert.deepEqual(edge.requests, []);
  }));

test("status has a line for a repository that has strangers, and says nothing of them where they cannot be asked for", async () => {
  const repository = { place: "public", repository: "harbour/stable", listed: 3, pages: 1, more: 4, strangers: [], baseline: null, swept_at: null, trouble: null };
  const script = ({ path }) => (path === "/api/v1/projects/1001/strangers" ? { json: { repositories: [repository] } } : undefined);
  await using([await edge({ script })], async (edge) => {
    const { code, out } = await slipway(["status"], edge.variables);
    assert.equal(code, 0);
    assert.match(out, /harbour\/stable has 4 things that did not come through Slipway; `slipway doctor` says which/);
  });
  await using([await edge()], async (edge) => {
    const { code, out, err } = await slipway(["status"], edge.variables);
    assert.deepEqual([code, out.includes("did not come through"), err], [0, false, ""]);
  });
});
