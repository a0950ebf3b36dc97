// The built command against small services: exit codes, what is sent, what is said.
// `cargo xtask build slipway`, then `node --test crates/slipway/tests/command.test.mjs`; SLIPWAY_BIN names another build.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ID_TOKEN, SESSION, STAGING_TOKEN, edge, entry, packageServer, problem, serve, sha256, slipway } from "./services.mjs";

const FILENAME = "tug_1.2.0-1_amd64.deb";
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
  for (const name of ["plan", "session", "stage", "release", "status"]) {
    const page = await readFile(new URL(`../src/help/${name}.txt`, import.meta.url), "utf8");
    assert.deepEqual(await slipway([name, "--help"]), { code: 0, out: page, err: "" });
  }
  const { code, out } = await slipway(["--help"]);
  assert.equal(code, 0);
  for (const word of ["plan", "session", "stage", "release", "status", "SLIPWAY_URL", "SLIPWAY_STAGING_TOKEN", "Exit:"]) {
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
    const words = ["plan", "deb=ubuntu/noble,ubuntu/jammy", "--packages", plan, "--jobs", '["deb"]'];
    const { code, out, err } = await slipway(words, edge.variables);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.match(out, /deb +ubuntu\/jammy, ubuntu\/noble +released by the job `release: \[deb\]`/);
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
          expect: { distros: ["ubuntu/jammy", "ubuntu/noble"], release_job: "release: [deb]", environment: "release/deb" },
        },
        {
          key: "arm",
          expect: { distros: ["raspbian/bookworm"], release_job: "release: [arm]", environment: "release/arm", skip: "no runner" },
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
    assert.deepEqual([...server.stored.keys()], [`ubuntu/jammy ${FILENAME}`, `ubuntu/noble ${FILENAME}`]);
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
    assert.equal(out, "");
    assert.match(err, /cannot release `deb` of 1\.2\.0\n  deb  ubuntu\/jammy  Conflict\n/);
    assert.match(err, /other contents\.\ufffd\[2J[^]*does not help[^]*next: Withdraw it/);
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
    assert.match(err, /trying again\n[^]*answered 503[^]*trying again\n$/);
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
        "KEY  DISTRO        STATE           SHA-256  SINCE (UTC)       APPROVED BY\n" +
        "deb  ubuntu/jammy  Not staged yet  -        2026-11-23 08:15\n" +
        "rpm  el/9          Released        -        2026-11-23 08:15\n",
    );
    assert.equal(edge.requests.length, 1);
    assert.equal(edge.requests[0].headers.authorization, undefined);
    const json = JSON.parse((await slipway(["status", "--json"], variables)).out);
    assert.deepEqual(json.packages.map(({ key }) => key), ["deb", "rpm"]);
  }));

test("an unknown release is exit 1 with the edge's words", async () =>
  using([await edge()], async (edge) => {
    const { code, err } = await slipway(["status"], { ...edge.variables, SLIPWAY_VERSION: "9.9" });
    assert.equal(code, 1);
    assert.match(err, /cannot read the release 9\.9\n  No such thing \(404\)/);
  }));
