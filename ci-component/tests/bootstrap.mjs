// The part of a template that makes `$SLIPWAY` run the command, as a shell would get it.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const templates = ["release", "stage", "verify"];

export const read = (template) => readFileSync(fileURLToPath(new URL(`../templates/${template}.yml`, import.meta.url)), "utf8");

/// The block's lines, without the template's indentation.
export function bootstrap(template) {
  const [, block] = read(template).match(/^ {4}- (?:&slipway )?\|\n((?: {6}.*\n|\n)+)/m);
  return block.replace(/^ {6}/gm, "");
}
