// Every page looks as somebody has accepted it. Needs `cargo xtask build dashboard`, and the Chromium that made the pictures.

import assert from "node:assert/strict";
import { test } from "node:test";
import { differences, incomparable, tooLarge } from "./screenshots.mjs";

test("every page looks as its picture in docs/images/pages", { skip: await incomparable() }, async () => {
  assert.deepEqual(await differences(), []);
});

test("pictures of pages are small", () => {
  assert.deepEqual(tooLarge(), []);
});
