#!/usr/bin/env node
// Runs the edge on a workerd of one's own. It does what Cloudflare does around a Worker, and no more: it gives workerd the
// modules, the files of the dashboard, a folder for the Durable Objects and the secrets, and it rings the clock.
//
// Absent on purpose: TLS, which a proxy in front of it adds; and starting again, which whoever started this does (systemd, a
// container's runtime): when workerd ends, this ends. It can be killed at any moment.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `node self-hosted/serve.mjs --data FOLDER --secrets FOLDER [--config FILE] [--listen ADDRESS]
                           [--private-network] [--workerd PROGRAM] [--clock SECONDS] [--restored]

Runs Slipway's edge until it is told to end.

    --data              where all that Slipway knows is kept
    --secrets           a folder with a file for each secret, named as slipway.toml names it
    --config            [the slipway.toml of this release's folder]
    --listen            what it answers on, without TLS     [127.0.0.1:8787]
    --private-network   GitLab, the package server or a registry has a private address. Without it workerd calls
                        public addresses alone
    --workerd           [the one that npm has installed in this release's folder, else that of the PATH]
    --clock             how often it looks for lost work    [900]
    --restored          what is in --data was put back from a backup or a snapshot: nothing is published or deleted
                        until an operator has looked, and starts Slipway

Exit: 0 told to end; 1 workerd has ended; 2 it cannot be started so, with the reason.`;

// The Durable Objects: binding and class, as in wrangler.toml.
const OBJECTS = [
  ["PROJECT", "ProjectRecord"],
  ["PACKAGE", "PackagePromotion"],
  ["DESTINATION", "DestinationAccount"],
  ["DIRECTORY", "Directory"],
];

// How long workerd may take to finish what it is answering. What it does not finish goes on after the next start.
const GRACE_MS = 5_000;

class Unusable extends Error {}

// A line of the log, of the same shape as the edge's own.
function log(message) {
  console.error(JSON.stringify({ at: new Date().toISOString(), level: "error", event: "note", message }));
}

function settings() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        data: { type: "string" },
        secrets: { type: "string" },
        config: { type: "string" },
        listen: { type: "string", default: "127.0.0.1:8787" },
        "private-network": { type: "boolean", default: false },
        workerd: { type: "string" },
        clock: { type: "string", default: "900" },
        restored: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    }));
  } catch (error) {
    throw new Unusable(error.message);
  }
  if (values.help) return values;
  const release = resolve(dirname(fileURLToPath(import.meta.url)), "..");
  values.config ??= join(release, "slipway.toml");
  const machine = process.arch === "arm64" ? "arm64" : "64";
  const installed = join(release, `node_modules/@cloudflare/workerd-linux-${machine}/bin/workerd`);
  values.workerd ??= existsSync(installed) ? installed : "workerd";
  for (const name of ["data", "secrets"]) {
    if (!values[name]) throw new Unusable(`--${name} FOLDER is missing`);
  }
  const clock = Number(values.clock);
  if (!Number.isInteger(clock) || clock < 1 || clock > 86_400) {
    throw new Unusable(`--clock: \`${values.clock}\` is no number of seconds up to a day`);
  }
  return { ...values, clock, release, data: resolve(values.data) };
}

// A file for each secret. What Kubernetes puts beside them begins with a dot.
function secrets(folder) {
  const found = new Map();
  for (const name of readdirSync(folder)) {
    if (/^[A-Z][A-Z0-9_]*$/.test(name)) found.set(name, readFileSync(join(folder, name), "utf8").trimEnd());
  }
  if (!found.has("SLIPWAY_EDGE_KEY")) throw new Unusable(`\`${folder}\` has no file SLIPWAY_EDGE_KEY`);
  return found;
}

// Which folder it is that the objects are in. A backup that was put in its place, or a copy, has been made at another time and is
// another: what was stopped since then nobody knows there, so the directory stops everything, until an operator has looked.
// One whose contents alone were put back is the same by its looks, so whoever has done that says so: then it is one that never was,
// and the directory knows it by how its name begins.
function identity(folder, isRestored) {
  if (isRestored) return `restored-${randomUUID()}`;
  const { ino, birthtimeNs } = statSync(folder, { bigint: true });
  return `${ino}-${birthtimeNs}`;
}

// Text as a Cap'n Proto literal, which is written as in C.
const quoted = (text) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

function files(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)).split(sep).join("/"))
    .sort();
}

// Lays out what workerd reads, and returns its configuration. The modules are copied, so that a new release may be unpacked
// over this one while it runs.
function layOut({ release, data, config, listen, restored, "private-network": isPrivate }, names) {
  const run = join(data, "run");
  rmSync(run, { recursive: true, force: true });
  for (const folder of [run, join(data, "objects")]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  cpSync(join(release, "worker"), join(run, "worker"), { recursive: true });
  cpSync(join(release, "dashboard"), join(run, "dashboard"), { recursive: true });
  cpSync(join(release, "self-hosted/entry.mjs"), join(run, "entry.mjs"));
  cpSync(config, join(run, "slipway.toml"));
  const date = /^compatibility_date = "(.*)"$/m.exec(readFileSync(join(release, "wrangler.toml"), "utf8"))?.[1];
  if (!date) throw new Unusable("`wrangler.toml` of this release has no `compatibility_date`");
  const kinds = { js: "esModule", mjs: "esModule", wasm: "wasm", toml: "text" };
  const modules = ["entry.mjs", "slipway.toml", ...files(join(run, "worker")).map((name) => `worker/${name}`)]
    .map((name) => [name, kinds[name.split(".").at(-1)]])
    .filter(([, kind]) => kind !== undefined)
    .map(([name, kind]) => `    (name = ${quoted(name)}, ${kind} = embed ${quoted(name)}),`);
  const bindings = [
    ...OBJECTS.map(([binding, name]) => `    (name = "${binding}", durableObjectNamespace = "${name}"),`),
    // The secrets themselves are in workerd's environment, and in no file.
    `    (name = "SLIPWAY_FOLDER", text = ${quoted(identity(join(data, "objects"), restored))}),`,
    ...names.map((name) => `    (name = "${name}", fromEnvironment = "${name}"),`),
  ];
  const classes = OBJECTS.map(([, name]) => `    (className = "${name}", uniqueKey = "slipway-${name}", enableSql = true),`);
  const file = join(run, "workerd.capnp");
  writeFileSync(
    file,
    `# Written by self-hosted/serve.mjs at each start.
using Workerd = import "/workerd/workerd.capnp";

const slipway :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (allow = [${isPrivate ? '"public", "private"' : '"public"'}], tlsOptions = (trustBrowserCas = true))),
    (name = "objects", disk = (path = ${quoted(join(data, "objects"))}, writable = true)),
    (name = "dashboard", disk = (path = ${quoted(join(run, "dashboard"))})),
  ],
  sockets = [
    (name = "http", address = ${quoted(listen)}, http = (), service = "edge"),
    (name = "clock", address = "127.0.0.1:0", http = (), service = (name = "edge", entrypoint = "Clock")),
  ],
);

const edge :Workerd.Worker = (
  compatibilityDate = ${quoted(date)},
  modules = [
${modules.join("\n")}
  ],
  bindings = [
    (name = "SELF", service = "edge"),
    (name = "ASSETS", service = "dashboard"),
${bindings.join("\n")}
  ],
  durableObjectNamespaces = [
${classes.join("\n")}
  ],
  durableObjectStorage = (localDisk = "objects"),
);
`,
    { mode: 0o600 },
  );
  return file;
}

// Rings now, since something may have been lost while nothing ran, and then again and again.
function ring(port, seconds) {
  const once = async () => {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", signal: AbortSignal.timeout(60_000) });
      if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    } catch (error) {
      log(`the clock was not heard: ${error.message}`);
    }
  };
  once();
  setInterval(once, seconds * 1000).unref();
}

function serve(chosen) {
  const kept = secrets(chosen.secrets);
  const file = layOut(chosen, [...kept.keys()]);
  const command = [chosen.workerd, "serve", file, "slipway", "--control-fd=3"];
  // Should this program be killed, workerd must not stay behind and keep the address.
  if (existsSync("/usr/bin/setpriv")) command.unshift("/usr/bin/setpriv", "--pdeathsig", "KILL", "--");
  const [program, ...rest] = command;
  const workerd = spawn(program, rest, {
    env: { ...process.env, ...Object.fromEntries(kept) },
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  let isTold = false;
  const end = () => {
    isTold = true;
    workerd.kill("SIGTERM");
    setTimeout(() => workerd.kill("SIGKILL"), GRACE_MS).unref();
  };
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, end);
  workerd.on("error", (error) => {
    log(`cannot start \`${chosen.workerd}\`: ${error.message}`);
    process.exit(2);
  });
  workerd.on("exit", (code, signal) => {
    if (!isTold) log(`workerd has ended: ${signal ?? `exit status ${code}`}`);
    process.exit(isTold ? 0 : 1);
  });
  createInterface({ input: workerd.stdio[3] }).on("line", (line) => {
    const said = JSON.parse(line);
    if (said.event !== "listen") return;
    if (said.socket === "clock") ring(said.port, chosen.clock);
    else console.log(line);
  });
}

try {
  const chosen = settings();
  if (chosen.help) console.log(HELP);
  else serve(chosen);
} catch (error) {
  if (!(error instanceof Unusable) && error.code === undefined) throw error;
  log(`${error.message}; \`--help\` shows what it takes`);
  process.exit(2);
}
