// What assistive technology is told of each kind of page, held against `aria/*.yml`, which people have read:
// `node --test crates/dashboard/tests/aria.test.mjs`. With ACCEPT=1 they are written anew, to be read again in the diff.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { blank, launch, skip, started } from "./chromium.mjs";
import { startEdge } from "./edge.mjs";

const PAGES = ["overview", "project", "release", "list", "target-failed", "activity", "against", "hold"];
const kept = (name) => fileURLToPath(new URL(`aria/${name}.yml`, import.meta.url));

describe("assistive technology is told of a page", { skip }, () => {
  let browser, edge;
  before(async () => {
    browser = await launch();
    edge = await startEdge();
  });
  after(async () => {
    await browser?.close();
    await edge?.stop();
  });

  for (const name of PAGES) {
    test(`${name}: what has been read and found well`, async () => {
      const page = await blank(browser);
      // The time at which the made-up data was read.
      await page.clock.setFixedTime("2026-11-23T10:04:11Z");
      await page.goto(edge.at(name));
      await started(page);
      if (await page.locator("main[data-sequence]").count()) await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
      const told = `${await page.locator("body").ariaSnapshot()}\n`;
      if (process.env.ACCEPT) {
        mkdirSync(fileURLToPath(new URL("aria", import.meta.url)), { recursive: true });
        writeFileSync(kept(name), told);
      }
      assert.ok(existsSync(kept(name)), `nobody has read what is told of \`${name}\`: ACCEPT=1 writes it down`);
      assert.equal(told, readFileSync(kept(name), "utf8"));
      await page.context().close();
    });
  }
});
