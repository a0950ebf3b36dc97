// What a reader sees of a release in a real browser; what they do with their hands is in `hand.test.mjs`. Needs `cargo xtask build dashboard`, `npm ci` here, and Chromium:
// `node --test crates/dashboard/tests/browser.test.mjs`. With SLIPWAY_EDGE_URL, the pages of that edge are judged too.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { blank, exactly, launch, skip, violations } from "./chromium.mjs";
import { startEdge } from "./edge.mjs";
import { allPages } from "./pages.mjs";

/** One target of the release that most tests look at: in the matrix, where it is staged, and what leads on from there. */
const noble = { key: "tug-ubuntu-noble-amd64", distro: "ubuntu/noble", cell: "c-tug-ubuntu-noble-amd64-ubuntu-noble", play: "play-tug-ubuntu-noble-amd64" };

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

const focused = (page) => page.evaluate(() => document.activeElement.id);

describe("a page", { skip }, () => {
  let edge;
  beforeEach(async () => (edge = await startEdge()));
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    await edge.stop();
  });

  describe("of a release, live", () => {
    test("a message replaces one cell and leaves the reader's place alone", async () => {
      const page = await live(edge.page);
      await page.locator(`#${noble.cell}`).focus();
      await page.evaluate(() => (document.getElementById("c-tug-el-9-amd64-el-9").isTheSame = true));
      const scrolled = await page.evaluate(() => scrollY);
      edge.change(noble.key, noble.distro, { state: "released" });
      await page.locator(`#${noble.cell}[data-state=released]`).waitFor();
      assert.equal(await focused(page), noble.cell);
      assert.equal(await page.evaluate(() => scrollY), scrolled);
      assert.ok(await page.evaluate(() => document.getElementById("c-tug-el-9-amd64-el-9").isTheSame), "untouched");
      assert.match(await page.title(), /^5\/18 · 1\.2\.0 · tug/);
      await page.locator("#announce", { hasText: "Released: tug-ubuntu-noble-amd64 ubuntu/noble." }).waitFor();
      assert.deepEqual(page.complaints, []);
    });

    test("what has changed stands out by moving, but not for those who want less of that", async () => {
      for (const [reducedMotion, moves] of [["no-preference", "changed"], ["reduce", "none"]]) {
        const page = await live(edge.page, { reducedMotion });
        const state = moves === "none" ? "released" : "approved";
        edge.change(noble.key, noble.distro, { state });
        // The second page has a cell that stands out from its beginning: what the first page was told came by the socket.
        const changed = page.locator(`#${noble.cell}.changed[data-state=${state}]`);
        assert.equal(await changed.evaluate((cell) => getComputedStyle(cell).animationName), moves);
        await page.context().close();
      }
    });

    test("in a list, too, a message replaces one row", async () => {
      const page = await live(edge.at("list"));
      const row = `#t-${noble.key}-ubuntu-noble`;
      await page.evaluate(() => (document.getElementById("t-tug-el-9-amd64-el-9").isTheSame = true));
      edge.change(noble.key, noble.distro, { state: "released" });
      await page.locator(`${row}[data-state=released]`).waitFor();
      assert.ok(await page.evaluate(() => document.getElementById("t-tug-el-9-amd64-el-9").isTheSame), "untouched");
    });

    test("a focused link that a change takes away leaves the focus beside it", async () => {
      const page = await live(edge.page);
      await page.locator(`#${noble.play}`).focus();
      edge.change(noble.key, noble.distro, { state: "approved" });
      await page.locator(`#${noble.cell}[data-state=approved]`).waitFor();
      assert.equal(await page.locator(`#${noble.play}`).count(), 0);
      assert.equal(await focused(page), "needs");
    });

    test("the filter is in the address and holds against live changes", async () => {
      const page = await live(edge.page);
      await page.keyboard.press("/");
      await page.keyboard.type("arm64");
      await page.waitForURL(/\?q=arm64$/);
      edge.change(noble.key, noble.distro, { state: "released" });
      await page.locator(`#${noble.cell}[data-state=released]`).waitFor({ state: "attached" });
      assert.equal(await page.locator(`#${noble.cell}`).isVisible(), false);
      assert.match(await page.locator("#shown").textContent(), /^\d+ of 20 targets match/);
      await page.locator("#count-released").click();
      await page.waitForURL(/\?state=released&q=arm64$/);
      await page.locator("#count-all").click();
      assert.equal(await page.locator(".target:visible").count(), 20);
      await page.waitForURL(exactly(edge.page));
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

    test("a message from a newer edge asks for a reload instead of showing half of it", async () => {
      const page = await live(edge.page);
      edge.change(noble.key, noble.distro, { state: "teleported" });
      await page.locator("#freshness", { hasText: "Slipway was updated" }).waitFor();
      assert.equal(await page.locator(`#${noble.cell}`).getAttribute("data-state"), "staged");
    });
  });

  describe("of a release, not live", () => {
    test("a lost connection is said in words, leads to no action, and what was missed arrives", async () => {
      const page = await live(edge.page);
      // Refused, it would soon ask instead, and be up to date again before anybody has pressed anything.
      edge.holdsSockets = true;
      edge.cut();
      await page.locator("#freshness", { hasText: /Reconnecting, data from \d\d:\d\d:\d\d UTC/ }).waitFor();
      await page.locator("body[data-stale]").waitFor();
      await page.locator(".stale-why").first().waitFor();
      await page.locator(`#${noble.play}`).click();
      await page.locator("#announce", { hasText: "Not while the page is old" }).waitFor();
      assert.equal(page.url(), edge.page, "the link was not followed");
      const before = edge.release.sequence;
      edge.change(noble.key, noble.distro, { state: "released" });
      edge.letSocketsIn();
      await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
      await page.locator(`#${noble.cell}[data-state=released]`).waitFor();
      assert.equal(edge.connections.at(-1), before, "asked for what came after the last message");
      assert.equal(await page.locator("body[data-stale]").count(), 0);
      assert.equal(await page.locator(".stale-why:visible").count(), 0);
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

    test("updates can be paused", async () => {
      const page = await live(edge.page);
      await page.locator("#pause").click();
      await page.locator("#freshness", { hasText: "Paused, data from" }).waitFor();
      assert.equal(await page.locator("#pause").getAttribute("aria-pressed"), "true");
      await page.locator("#pause").click();
      await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    });

    test("with scripts off everything is readable, and each target leads to its page", async () => {
      const page = await open(edge.page, { javaScriptEnabled: false });
      assert.match(await page.locator("h1").textContent(), /^tug 1\.2\.0 is out for 4 of 18 packages\./);
      assert.equal(await page.locator(".target:visible").count(), 20);
      assert.equal(await page.locator("noscript meta[http-equiv=refresh]").getAttribute("content"), "60");
      for (const scripted of ["#pause", "#keys", "[data-copy]"]) {
        assert.equal(await page.locator(`${scripted}:visible`).count(), 0, `${scripted} needs a script and is not offered`);
      }
      await page.locator(`#${noble.cell}`).click();
      await page.waitForURL(exactly(edge.at("target-of-release")));
      assert.match(await page.locator("#target").textContent(), new RegExp(noble.key));
    });

    test("with scripts off no page loads itself again in which somebody fills in a form", async () => {
      for (const { name, html } of allPages().pages) {
        const fields = /<main[^]*<\/main>/.exec(html)?.[0].match(/<(?:input|textarea|select)(?![^>]* type="hidden")/g)?.length ?? 0;
        if (fields > 1) assert.doesNotMatch(html, /http-equiv="refresh"|every minute/, name);
      }
      assert.doesNotMatch(allPages().pages.find(({ name }) => name === "activity").html, /http-equiv="refresh"/);
    });

    test("a link to a filtered view shows it, with and without scripts", async () => {
      for (const javaScriptEnabled of [true, false]) {
        const page = await open(edge.at("filtered"), { javaScriptEnabled });
        assert.equal(await page.locator(".target:visible").count(), 2);
      }
    });
  });

  test("nothing is asked of anybody else, and nothing breaks the page's policy", async () => {
    const page = await live(edge.page);
    await page.locator(`#${noble.cell}`).click();
    await page.locator("#panel #target").waitFor();
    edge.change(noble.key, noble.distro, { state: "released" });
    await page.locator(`#${noble.cell}[data-state=released]`).waitFor();
    const own = [edge.url, edge.url.replace("http", "ws")];
    assert.deepEqual(page.asked.filter((address) => !own.some((one) => address.startsWith(one))), []);
    assert.deepEqual(page.complaints, []);
  });

  test("what would run in a part of the page is refused, should it ever come", async () => {
    const page = await live(edge.page);
    const refused = await page.evaluate(() => {
      try {
        return slipway.parse("<p>x<script>__ran=1</script>").textContent;
      } catch (error) {
        return String(error);
      }
    });
    assert.match(refused, /TypeError/);
    const sinks = await page.evaluate(() => {
      try {
        document.body.innerHTML = "<p>x</p>";
        return "taken";
      } catch (error) {
        return error.name;
      }
    });
    assert.equal(sinks, "TypeError", "text becomes elements in one place alone");
  });
});

const edgeUrl = process.env.SLIPWAY_EDGE_URL;
test("the pages of a running edge", { skip: skip || (edgeUrl ? false : "no SLIPWAY_EDGE_URL") }, async () => {
  const found = new Set(["/", "/help/states", "/help/keys"]);
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
