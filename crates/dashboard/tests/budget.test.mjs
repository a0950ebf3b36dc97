// What a first visit may cost, on the built files: sizes are exact, so they are held to with every change. Times are
// `cargo xtask bench dashboard`. Needs `cargo xtask build dashboard`, and Chromium for the last test.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, skip } from "./chromium.mjs";
import { startEdge } from "./edge.mjs";
import { firstLoad } from "./sizes.mjs";

const FIRST_LOAD_BYTES_MAX = 85_000;
const WASM_BYTES_MAX = 64 * 1024;
const GLUE_BYTES_MAX = 6 * 1024;
const REQUESTS_MAX = 6;

const sum = (sizes) => Object.values(sizes).reduce((all, size) => all + size, 0);
const listed = (sizes) => Object.entries(sizes).map(([name, size]) => `${name} ${size}`).join(", ");

test("the wasm and its glue keep their budgets", () => {
  const sizes = firstLoad();
  assert.ok(sizes["dashboard_bg.wasm"] <= WASM_BYTES_MAX, `wasm: ${sizes["dashboard_bg.wasm"]} bytes`);
  assert.ok(sizes["dashboard.js"] <= GLUE_BYTES_MAX, `glue: ${sizes["dashboard.js"]} bytes`);
});

test("a first visit to a release of 60 targets keeps its budget", (t) => {
  const sizes = firstLoad();
  t.diagnostic(`budget: ${sum(sizes)} of ${FIRST_LOAD_BYTES_MAX} bytes for a first visit: ${listed(sizes)}`);
  assert.ok(sum(sizes) <= FIRST_LOAD_BYTES_MAX, `a first visit: ${sum(sizes)} bytes: ${listed(sizes)}`);
  assert.ok(Object.keys(sizes).length <= REQUESTS_MAX, `${Object.keys(sizes).length} requests: ${listed(sizes)}`);
});

test("a first visit asks for what the page names, and for nothing more", { skip }, async () => {
  const browser = await launch();
  const edge = await startEdge();
  try {
    const page = await browser.newPage();
    const asked = [];
    page.on("request", (request) => asked.push(request.url().replace(edge.url, "")));
    await page.goto(edge.at("rows-60"));
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    const named = Object.keys(firstLoad()).map((name) => (name === "page" ? edge.at("rows-60").replace(edge.url, "") : `/assets/${name}`));
    // A browser without a window shows no icon, and does not ask for it.
    assert.deepEqual(asked.filter((path) => !named.includes(path)), []);
    assert.ok(asked.length >= named.length - 1, `each of ${named} is loaded once: ${asked}`);
    assert.equal(new Set(asked).size, asked.length, `nothing is asked for twice: ${asked}`);
  } finally {
    await browser.close();
    await edge.stop();
  }
});
