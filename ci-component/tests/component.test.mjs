// The component as a pipeline sees it, expanded by gitlab-ci-local. Nothing is run here.
//
//   GITLAB_CI_LOCAL="node …/gitlab-ci-local/dist/index.js"   (4.73.0, with Node 20 or newer)
//   CHECK_JSONSCHEMA="…/check-jsonschema"                    (0.39.0, which holds GitLab's schema)
//   node --test ci-component/tests/component.test.mjs
//
// Without them, their tests are skipped by name.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { read, templates } from "./bootstrap.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [runner, ...runnerWords] = process.env.GITLAB_CI_LOCAL?.split(" ") ?? [];
const needsRunner = { skip: runner ? false : "GITLAB_CI_LOCAL names no gitlab-ci-local" };
const schema = process.env.CHECK_JSONSCHEMA;
const needsSchema = { skip: runner && schema ? false : "CHECK_JSONSCHEMA names no check-jsonschema, or the runner is missing" };

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "slipway-component-"));
  execFileSync(here("lay-out.sh"), [folder]);
});
after(() => rmSync(folder, { recursive: true }));

// All components in one project, beside a build that knows nothing of Slipway.
const everything = `stages: [build, test, deploy]
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/release@$CI_COMMIT_SHA
    inputs: {url: "https://slipway.example.com", packages: [jammy-amd64, noble-amd64]}
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/stage@$CI_COMMIT_SHA
    inputs: {url: "https://slipway.example.com", packages: [jammy-amd64, noble-amd64]}
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/verify@$CI_COMMIT_SHA
    inputs: {url: "https://slipway.example.com"}
jammy:
  extends: .slipway-build
  stage: build
  script: make
`;

function accepts(name, text) {
  const file = join(folder, name);
  writeFileSync(file, text);
  const { status, stdout } = spawnSync(schema, ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", file], {
    encoding: "utf8",
  });
  assert.equal(status, 0, `${name}: ${stdout}`);
}

const runnerSays = (...words) => spawnSync(runner, [...runnerWords, ...words], { cwd: folder, encoding: "utf8" });
const tag = ["--variable", "CI_COMMIT_TAG=v1.2.0"];

test("a tag gets a plan first, and a manual, optional job a package, each in its own environment", needsRunner, () => {
  const [, ...jobs] = runnerSays("--list", ...tag).stdout.trim().split("\n");
  // name, stage, when, allow_failure, environment, needs
  assert.deepEqual(jobs.map((job) => job.replace(/ {2,}/g, "  ").trim()), [
    "plan  .pre  on_success  false",
    "jammy  build  on_success  false",
    "noble  build  on_success  false",
    "release: [jammy-amd64]  deploy  manual  true  release/jammy-amd64  []",
    "release: [noble-amd64]  deploy  manual  true  release/noble-amd64  []",
    "release-all  deploy  manual  true  release-all  []",
  ]);
});

test("no package's environment is that of the job for all of them, and both are names that GitLab takes", () => {
  const names = [...read("release").matchAll(/^ {4}name: (.*)$/gm)].map(([, name]) => name);
  assert.deepEqual(names, ["release/$SLIPWAY_PACKAGE", "release-all"]);
  // A key has [a-z0-9._-], at most 63 of them; GitLab takes letters, digits, spaces and - _ / $ { } . up to 255.
  for (const name of names) assert.match(name.replace("$SLIPWAY_PACKAGE", "a._-".padEnd(63, "z")), /^(?!\/)[A-Za-z0-9 _/${}.-]{1,255}(?<!\/)$/);
});

test("every input has a type and a description, and every one of text that a shell reads is checked or a variable", () => {
  for (const template of templates) {
    const [header] = read(template).split(/^---$/m);
    const inputs = [...header.matchAll(/^ {4}([a-z0-9-]+):\n((?: {6}.*\n)+)/gm)];
    assert.ok(inputs.length > 5, template);
    for (const [, name, about] of inputs) {
      assert.match(about, /^ {6}type: (string|array)$/m, `${template}: ${name}`);
      assert.match(about, /^ {6}description: "?.{10,}/m, `${template}: ${name}`);
    }
  }
});

test("README.md names every input, with its default", () => {
  const readme = readFileSync(here("../README.md"), "utf8");
  for (const template of templates) {
    const [, chapter] = readme.split(`### \`${template}\`\n`);
    const rows = chapter.split(/^##/m)[0].split("\n").filter((line) => line.startsWith("|"));
    const [header] = read(template).split(/^---$/m);
    for (const [, name, about] of header.matchAll(/^ {4}([a-z0-9-]+):\n((?: {6}.*\n)+)/gm)) {
      const row = rows.find((row) => row.split("|")[1].includes(`\`${name}\``));
      assert.ok(row, `${template}: ${name}`);
      const [, given] = about.match(/^ {6}default: (.*)$/m) ?? [];
      const shared = row.includes("as above") || given === undefined || given === '""';
      if (!shared) assert.ok(row.includes(`\`${given}\``), `${template}: ${name} is ${given} by default`);
    }
  }
});

test("nothing that a user gives is put into a script's text", () => {
  for (const template of templates) {
    const scripts = read(template).match(/^ {2}(before_)?script:\n(?: {4}.*\n|\n)+/gm);
    for (const script of scripts) assert.doesNotMatch(script, /\$\[\[/, template);
  }
});

test("a project whose builds have no Node gets a job for each key that stages what the builds left, even if one failed", needsRunner, () => {
  writeFileSync(join(folder, "all.yml"), everything);
  const jobs = JSON.parse(runnerSays("--file", "all.yml", "--list-json", ...tag).stdout);
  const shown = jobs.map(({ name, stage, when }) => `${name} ${stage} ${when}`);
  for (const job of ["jammy build on_success", "stage: [jammy-amd64] test always", "stage: [noble-amd64] test always", "verify .post manual"]) {
    assert.ok(shown.includes(job), `${job}: ${shown.join(", ")}`);
  }
});

test("a pipeline that is no release has none of the jobs", needsRunner, () => {
  const jobs = JSON.parse(runnerSays("--list-json").stdout);
  assert.deepEqual(jobs.filter(({ when }) => when !== "never"), []);
});

test("a release job may run as long as its session, since it may have to carry a long copy", needsRunner, () => {
  const expanded = runnerSays("--preview", ...tag).stdout;
  const release = expanded.slice(expanded.indexOf("'release: [jammy-amd64]'") < 0 ? expanded.indexOf("release:") : expanded.indexOf("'release: [jammy-amd64]'"));
  assert.match(release, /^ {2}timeout: 3h$/m);
});

test("a value that would be read as shell is refused", needsRunner, () => {
  const project = readFileSync(here("pipeline/.gitlab-ci.yml"), "utf8");
  for (const [input, value] of [
    ["url", "https://h/$(id)"],
    ["url", "file:///etc/passwd"],
    ["slipway", "slipway; id"],
    ["slipway-sha256", "$(id)"],
    ["slipway-sha256", "ABC"],
    ["artifact-expiry", "$(id)"],
    ["release-all-job", "all: [x]"],
    ["environment-tier", "moon"],
    ["packages-file", "$(id).toml"],
    ["release-job", "release: [x]"],
    ["stage-job", "visible"],
    ["release-timeout", "$(id)"],
    ["environment-action", "stop"],
  ]) {
    const line = `      ${input}: '${value}'\n`;
    const known = new RegExp(`^ {6}${input}: .*\\n`, "m");
    const changed = known.test(project) ? project.replace(known, () => line) : project.replace("    inputs:\n", (text) => text + line);
    writeFileSync(join(folder, "changed.yml"), changed);
    const { status, stdout, stderr } = runnerSays("--file", "changed.yml", "--list", ...tag);
    assert.equal(status, 1, `${input}: ${value}`);
    assert.match(stdout + stderr, new RegExp(`\`${input}\` input: `));
  }
});

test("GitLab's schema accepts every component's header, and pipelines made of them", needsSchema, () => {
  writeFileSync(join(folder, "all.yml"), everything);
  const texts = {
    "expanded.yml": runnerSays("--preview", ...tag).stdout,
    "expanded-all.yml": runnerSays("--file", "all.yml", "--preview", ...tag).stdout,
    "own.yml": readFileSync(here("../.gitlab-ci.yml"), "utf8"),
  };
  for (const job of ["plan:", "verify:", "jammy:"]) assert.ok(texts["expanded-all.yml"].includes(job), job);
  for (const template of templates) [texts[`header-${template}.yml`]] = read(template).split(/^---$/m);
  for (const [name, text] of Object.entries(texts)) accepts(name, text);
});

// Every input of every component, with another value than its default.
const inputsOf = (template) => [...read(template).split(/^---$/m)[0].matchAll(/^ {4}([a-z0-9-]+):\n((?: {6}.*\n)+)/gm)];
const otherThanDefault = {
  url: '"https://slipway.example.com/below"', packages: "[one, two.three, four_five]", "packages-file": "ci/plan.toml", version: '"3.1.0"',
  condition: '$CI_COMMIT_BRANCH == "main"', slipway: '"https://files.example.com/slipway-1.0.0.tgz"', "slipway-sha256": `"${"a1".repeat(32)}"`,
  image: '"registry.example.com/node:22"', "plan-job": '"declare it"', "plan-stage": "declare", "stage-job": undefined, artifacts: "[out/, more/]",
  "artifact-expiry": '"3 weeks 2 days"', "release-job": '"go out"', "release-stage": "publish", "release-needs": '["make", "declare it"]',
  "release-timeout": '"1h 30m"', "release-all-job": '"everything out"', "environment-action": "access", "environment-tier": "testing",
  folder: '"out/packages"', "build-job": '".build"', "stage-stage": "publish", when: "always", "verify-job": '"check it"', "verify-stage": "publish",
};
const special = { release: { "stage-job": '".put"' }, stage: { "stage-job": '"put"' } };
// Hidden jobs are seen in what extends them alone: by default, and with every input given.
const hidden = { release: [".slipway-stage", ".put"], stage: [".slipway-build", ".build"], verify: [] };

test("GitLab's schema accepts every component as rendered, with its defaults and with every input given", needsSchema, () => {
  const pipelines = { defaults: (name) => ["url", "packages"].includes(name), everything: () => true };
  for (const template of templates) {
    for (const [which, isGiven] of Object.entries(pipelines)) {
      const given = inputsOf(template).map(([, name]) => name).filter(isGiven);
      const lines = given.map((name) => {
        const value = special[template]?.[name] ?? otherThanDefault[name];
        assert.ok(value, `${template}: a value for ${name} is needed here`);
        return `      ${name}: ${value}\n`;
      });
      const project =
        `stages: [declare, build, test, deploy, publish]\ninclude:\n  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/${template}@$CI_COMMIT_SHA\n` +
        `    inputs:\n${lines.join("")}make:\n  stage: build\n  script: make\n` +
        hidden[template].slice(which === "defaults" ? 0 : 1, which === "defaults" ? 1 : 2).map((name) => `extended:\n  extends: ${name}\n  stage: build\n  script: make\n`).join("");
      writeFileSync(join(folder, "rendered.yml"), project);
      const { status, stdout, stderr } = runnerSays("--file", "rendered.yml", "--preview", ...tag);
      assert.equal(status, 0, `${template}, ${which}: ${stderr}`);
      // That the input is used at all: its value, without the quotes, is in what comes out.
      for (const name of which === "everything" ? given : []) {
        const word = (special[template]?.[name] ?? otherThanDefault[name]).replace(/^['"[]+|['"\]]+$/g, "").split(",")[0].replace(/["']$/, "");
        assert.ok(hidden[template].includes(word) || stdout.includes(word), `${template}: ${name}, ${word}`);
      }
      assert.doesNotMatch(stdout, /\$\[\[/, template);
      accepts(`${template}-${which}.yml`, stdout);
    }
  }
});

test("GitLab's schema accepts the component's own pipeline as rendered", needsSchema, () => {
  writeFileSync(join(folder, "own-project.yml"), readFileSync(here("../.gitlab-ci.yml"), "utf8"));
  const { status, stdout, stderr } = runnerSays("--file", "own-project.yml", "--preview");
  assert.equal(status, 0, stderr);
  for (const job of ["plan:", "verify:", "pin:", "release:"]) assert.ok(stdout.includes(`\n${job}`), job);
  accepts("own-rendered.yml", stdout);
});

test("GitLab's schema does refuse what is wrong", needsSchema, () => {
  const file = join(folder, "wrong.yml");
  writeFileSync(file, "job:\n  script: make\n  environment: {action: sometimes, name: x}\n");
  const { status } = spawnSync(schema, ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", file]);
  assert.equal(status, 1);
});
