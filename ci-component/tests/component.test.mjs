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
  ]);
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

test("GitLab's schema accepts the component's header, and a pipeline made of it", needsSchema, () => {
  const [header] = readFileSync(here("../templates/release.yml"), "utf8").split(/^---$/m);
  const expanded = runnerSays("--preview", ...tag).stdout;
  for (const [name, text] of Object.entries({ "header.yml": header, "expanded.yml": expanded })) {
    const file = join(folder, name);
    writeFileSync(file, text);
    const { status, stdout } = spawnSync(schema, ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", file], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  }
});
