// What a reader sees in a real browser. Needs `cargo xtask build dashboard`, `npm ci` here, and Chromium:
// `node --test crates/dashboard/tests/browser.test.mjs`. With SLIPWAY_EDGE_URL, the pages of that edge are judged too.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { blank, launch, skip, violations } from "./chromium.mjs";
import { startEdge } from "./edge.mjs";

const noble = "c-tug-ubuntu-noble-amd64-ubuntu-noble";

let browser;
before(async () => {
  if (!skip) browser = await launch();
});
after(() => browser?.close());

async function open(address, options) {
  const page = await blank(browser, options);
  await page.goto(address);
  return page;
}

async function live(address, options) {
  const page = await open(address, options);
  await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
  return page;
}

describe("a release's page", { skip }, () => {
  let edge;
  beforeEach(async () => (edge = await startEdge()));
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    await edge.stop();
  });

  test("a live message replaces one cell and leaves the reader's place alone", async () => {
    const page = await live(edge.page);
    await page.locator(`#${noble}`).focus();
    await page.evaluate(() => (document.getElementById("c-tug-el-9-amd64-el-9").isTheSame = true));
    const scrolled = await page.evaluate(() => scrollY);
    edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "released" });
    await page.locator(`#${noble}[data-state=released]`).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), noble);
    assert.equal(await page.evaluate(() => scrollY), scrolled);
    assert.ok(await page.evaluate(() => document.getElementById("c-tug-el-9-amd64-el-9").isTheSame), "untouched");
    assert.match(await page.title(), /^5\/18 · 1\.2\.0 · tug/);
    await page.locator("#announce", { hasText: "Released: tug-ubuntu-noble-amd64 ubuntu/noble." }).waitFor();
    assert.deepEqual(page.complaints, []);
  });

  test("a focused link that a change takes away hands the focus to where it stood", async () => {
    const page = await live(`${edge.page}?v=list`);
    const noble = "t-tug-ubuntu-noble-amd64-ubuntu-noble";
    await page.locator(`#${noble}`).focus();
    edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "approved" });
    await page.locator(`#${noble}[data-state=approved]`).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), noble);
  });

  test("the filter is in the address and holds against live changes", async () => {
    const page = await live(edge.page);
    await page.keyboard.press("/");
    await page.keyboard.type("arm64");
    assert.match(page.url(), /\?q=arm64$/);
    edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "released" });
    await page.locator(`#${noble}[data-state=released]`).waitFor({ state: "attached" });
    assert.equal(await page.locator(`#${noble}`).isVisible(), false);
    assert.match(await page.locator("#shown").textContent(), /^\d+ of 20 targets match/);
    await page.locator("#count-released").click();
    assert.match(page.url(), /\?state=released&q=arm64$/);
    await page.locator("#count-all").click();
    assert.equal(await page.locator(".target:visible").count(), 20);
    assert.equal(page.url(), edge.page);
  });

  test("a link to a filtered view shows it, with and without scripts", async () => {
    for (const javaScriptEnabled of [true, false]) {
      const page = await open(`${edge.page}?state=failed,missing`, { javaScriptEnabled });
      assert.equal(await page.locator(".target:visible").count(), 2);
    }
  });

  test("a lost connection is said in words, and what was missed arrives", async () => {
    const page = await live(edge.page);
    edge.acceptsSockets = false;
    edge.cut();
    await page.locator("#freshness", { hasText: /Reconnecting, data from \d\d:\d\d:\d\d UTC/ }).waitFor();
    const before = edge.release.sequence;
    edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "released" });
    edge.acceptsSockets = true;
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    await page.locator(`#${noble}[data-state=released]`).waitFor();
    assert.equal(edge.connections.at(-1), before, "asked for what came after the last message");
  });

  test("where no socket gets through, the page asks", async () => {
    edge.acceptsSockets = false;
    const page = await open(edge.page);
    await page.locator("#freshness", { hasText: "Live every 15 s" }).waitFor();
    assert.deepEqual([...new Set(edge.questions)], [`"${edge.release.sequence}"`]);
  });

  test("a reader who may not read any more is told so, and nothing is asked again", async () => {
    edge.acceptsSockets = false;
    edge.apiStatus = 401;
    const page = await open(edge.page);
    await page.locator("#freshness", { hasText: "You may not read this any more" }).waitFor();
    assert.equal(edge.questions.length, 1);
  });

  test("a message from a newer edge asks for a reload instead of showing half of it", async () => {
    const page = await live(edge.page);
    edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "teleported" });
    await page.locator("#freshness", { hasText: "Slipway was updated" }).waitFor();
    assert.equal(await page.locator(`#${noble}`).getAttribute("data-state"), "staged");
  });

  test("updates can be paused, and the key can be switched off", async () => {
    const page = await live(edge.page);
    await page.locator("#pause").click();
    await page.locator("#freshness", { hasText: "Paused, data from" }).waitFor();
    assert.equal(await page.locator("#pause").getAttribute("aria-pressed"), "true");
    await page.locator("#pause").click();
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    await page.locator("#keys input").uncheck();
    await page.locator("#packages-title").focus();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "packages-title");
  });

  test("a package that is new appears", async () => {
    const page = await live(edge.page);
    const added = structuredClone(edge.release.packages[0]);
    added.key = "tug-zz-amd64";
    edge.release.packages.push(added);
    edge.change("tug-zz-amd64", "debian/bookworm", {});
    await page.locator("#c-tug-zz-amd64-debian-bookworm").waitFor();
    await page.locator("#announce", { hasText: "One target is new." }).waitFor();
  });

  test("nothing is asked of anybody else, and nothing breaks the page's policy", async () => {
    const page = await live(edge.page);
    const own = [edge.url, edge.url.replace("http", "ws")];
    assert.deepEqual(page.asked.filter((address) => !own.some((one) => address.startsWith(one))), []);
    assert.deepEqual(page.complaints, []);
  });

  test("with scripts off everything is readable", async () => {
    const page = await open(edge.page, { javaScriptEnabled: false });
    assert.match(await page.locator("h1").textContent(), /^tug 1\.2\.0 is out for 4 of 18 packages\./);
    assert.equal(await page.locator(".target:visible").count(), 20);
    assert.equal(await page.locator("noscript meta[http-equiv=refresh]").getAttribute("content"), "60");
    assert.equal(await page.locator("#pause").isVisible(), false);
    assert.equal(await page.locator(`#${noble}`).getAttribute("href"), "/p/tug/r/1.2.0/t/tug-ubuntu-noble-amd64/ubuntu/noble");
    assert.equal(await page.locator("[data-copy]:visible").count(), 0, "what needs a script is not offered");
  });
});

const edgeUrl = process.env.SLIPWAY_EDGE_URL;
test("the pages of a running edge", { skip: skip || (edgeUrl ? false : "no SLIPWAY_EDGE_URL") }, async () => {
  const found = new Set(["/", "/help/states"]);
  for (const path of found) {
    const page = await open(new URL(path, edgeUrl).href);
    assert.deepEqual((await violations(page)).found, [], path);
    const links = await page.locator("main a[href^='/p/']").evaluateAll((all) => all.map((one) => one.pathname));
    for (const link of links.slice(0, 3)) found.add(link);
    const own = [edgeUrl, edgeUrl.replace("http", "ws")];
    assert.deepEqual(page.asked.filter((address) => !own.some((one) => address.startsWith(one))), [], path);
    await page.context().close();
  }
});
