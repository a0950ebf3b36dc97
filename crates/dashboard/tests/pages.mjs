// The pages that the view crate renders, made once for all tests of a file: those of its example, or those with strings
// that mean harm.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

function example(...given) {
  const command = ["run", "--quiet", "--package", "slipway-view", "--example", "page", "--", ...given];
  return execFileSync("cargo", command, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
}

function written(...given) {
  const folder = mkdtempSync(join(tmpdir(), "slipway-pages-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  example(...given, folder);
  const { policy, pages } = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
  const read = (file) => readFileSync(join(folder, file), "utf8");
  return { policy, pages: pages.map((page) => ({ ...page, html: read(page.file), release: page.release && read(page.release) })) };
}

let every;

/** Every page there is: `{policy, pages: [{name, path, html, release}]}`, the release as JSON text. */
export function allPages() {
  every ??= written("--all");
  return every;
}

/** A page as somebody sees it whose address has a query. */
export function pageWith(name, query) {
  return example(name, query);
}

/** Pages that show each of these strings wherever they show text of others. */
export function hostilePages(strings) {
  const folder = mkdtempSync(join(tmpdir(), "slipway-strings-"));
  const file = join(folder, "strings.json");
  writeFileSync(file, JSON.stringify(strings));
  try {
    return written("--hostile", file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
