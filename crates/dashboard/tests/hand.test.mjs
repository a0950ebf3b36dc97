// What a reader's hand does on a page that scripts keep live: keys, the panel beside a release, copying, and what happens
// to pages that are loaded again. Needs `cargo xtask build dashboard` and Chromium.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { readFileSync } from "node:fs";
import { becomes, blank, exactly, launch, skip, violations } from "./chromium.mjs";
import { asset, startEdge } from "./edge.mjs";
import { allPages, root } from "./pages.mjs";

const noble = "c-tug-ubuntu-noble-amd64-ubuntu-noble";

let browser;
before(async () => {
  if (!skip) browser = await launch();
});
after(() => browser?.close());

const active = (page) => page.evaluate(() => document.activeElement.id);

describe("a reader's hand", { skip }, () => {
  let edge;
  beforeEach(async () => (edge = await startEdge()));
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    await edge.stop();
  });

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

  /** The text of the row and the column in which the focus is. */
  const place = (page) =>
    page.evaluate(() => {
      const cell = document.activeElement.closest("td");
      const heads = [...cell.closest("table").querySelectorAll("thead th")].map((head) => head.textContent);
      return `${cell.parentElement.querySelector("th").textContent} ${heads[cell.cellIndex]}`;
    });

  test("letters and arrows go from cell to cell, and arrows elsewhere scroll", async () => {
    const page = await live(edge.page);
    await page.keyboard.press("ArrowDown");
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY");
    await page.keyboard.press("j");
    const first = await place(page);
    await page.keyboard.press("j");
    const second = await place(page);
    assert.notEqual(second, first);
    await page.keyboard.press("ArrowUp");
    assert.equal(await place(page), first);
    await page.locator(`#${noble}`).focus();
    assert.match(await place(page), /^ubuntu\/noble .*amd64$/);
    await page.keyboard.press("l");
    assert.match(await place(page), /^ubuntu\/noble .*arm64$/);
    await page.keyboard.press("ArrowLeft");
    assert.equal(await active(page), noble);
    assert.deepEqual(page.complaints, []);
  });

  test("in a list the same keys go from row to row, past those that the filter hides", async () => {
    const page = await live(`${edge.page}?v=list&state=failed,missing`);
    await page.keyboard.press("j");
    assert.equal(await active(page), "t-tug-el-9-amd64-el-9");
    await page.keyboard.press("ArrowDown");
    assert.equal(await active(page), "t-tug-ubuntu-plucky-amd64-ubuntu-plucky");
    await page.keyboard.press("ArrowDown");
    assert.equal(await active(page), "t-tug-ubuntu-plucky-amd64-ubuntu-plucky");
  });

  test("n and p go around what needs somebody", async () => {
    const page = await live(edge.page);
    const all = await page.locator("#needs .need").evaluateAll((found) => found.map((one) => one.querySelector("a").id));
    assert.ok(all.length > 1);
    const visited = [];
    for (let press = 0; press <= all.length; press += 1) {
      await page.keyboard.press("n");
      visited.push(await active(page));
    }
    assert.deepEqual(visited, [...all, all[0]]);
    await page.keyboard.press("p");
    assert.equal(await active(page), all.at(-1));
  });

  test("f shows what is broken, and everything again", async () => {
    const page = await live(edge.page);
    await page.keyboard.press("f");
    const states = await page.locator(".target:visible").evaluateAll((all) => all.map((one) => one.dataset.state));
    assert.deepEqual([...new Set(states)].sort(), ["conflict", "failed", "missing"]);
    await page.keyboard.press("f");
    await page.waitForURL(exactly(edge.page));
  });

  test("a target opens beside its release, in the address too, and is left by Escape and by going back", async () => {
    const page = await live(edge.at("failed"));
    const { path } = allPages().pages.find(({ name }) => name === "target-failed");
    const cell = page.locator(`a.target[href="${path}"]`);
    const id = await cell.getAttribute("id");
    const [, key] = path.split("/t/");
    await cell.focus();
    await page.keyboard.press("Enter");
    await page.locator("#panel #target").waitFor();
    assert.equal(await active(page), "panel");
    assert.ok(decodeURIComponent(page.url()).endsWith(`sel=${key}`), page.url());
    await page.keyboard.press("Escape");
    await page.locator("#panel").waitFor({ state: "hidden" });
    assert.equal(await active(page), id);
    assert.ok(!page.url().includes("sel="), page.url());
    await page.goBack();
    await page.locator("#panel #target").waitFor();
    await page.goBack();
    await page.locator("#panel").waitFor({ state: "hidden" });
    assert.deepEqual(page.complaints, []);
  });

  test("a link to an opened target shows it", async () => {
    const address = edge.at("failed");
    const { path } = allPages().pages.find(({ name }) => name === "target-failed");
    const selected = encodeURIComponent(path.split("/t/")[1]);
    const page = await live(`${address}${address.includes("?") ? "&" : "?"}sel=${selected}`);
    await page.locator("#panel #target").waitFor();
    assert.deepEqual((await violations(page)).found, []);
  });

  test("what an address selects is a page of that release and nothing else", async () => {
    const asked = [];
    const page = await blank(browser);
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await page.goto(`${edge.page}?sel=..%2F..%2F..%2F..%2Fstatus`);
    await page.locator("#panel a", { hasText: "Its own page" }).waitFor();
    assert.ok(asked.includes("/p/tug/r/1.2.0/t/status") && !asked.includes("/status"), asked.join(" "));
  });

  test("the list of keys opens beside the release, and none of its letters reaches a field", async () => {
    const page = await live(edge.page);
    await page.keyboard.press("?");
    await page.locator("#panel kbd").first().waitFor();
    await page.keyboard.press("Escape");
    await page.locator("#filter-words").focus();
    await page.keyboard.type("jkfu?/");
    assert.equal(await page.locator("#filter-words").inputValue(), "jkfu?/");
    await page.keyboard.press("Escape");
    assert.notEqual(await active(page), "filter-words");
  });

  test("keys that are switched off stay so, but for those that write nothing", async () => {
    const page = await live(edge.page);
    await page.locator("#keys input").uncheck();
    await page.reload();
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    assert.equal(await page.locator("#keys input").isChecked(), false);
    for (const key of ["j", "n", "f", "u", "/", "?"]) await page.keyboard.press(key);
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY");
    assert.equal(page.url(), edge.page);
    await page.locator(`#${noble}`).focus();
    await page.keyboard.press("ArrowRight");
    assert.notEqual(await active(page), noble);
  });

  test("what is to be written elsewhere is copied, and the page says so", async () => {
    const page = await blank(browser);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.goto(edge.page);
    const button = page.locator("[data-copy]").first();
    const text = await page.locator(`#${await button.getAttribute("data-copy")}`).textContent();
    await button.click();
    await page.locator("#announce", { hasText: "Copied." }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
    await page.keyboard.press("y");
    // That something was copied, the page has said already.
    await becomes(() => page.evaluate(() => navigator.clipboard.readText()), edge.page);
    await page.locator("body[data-copied]").waitFor();
  });

  test("a page that is old says so and leads to no action", async () => {
    const page = await live(edge.page);
    assert.equal(await page.locator("body[data-stale]").count(), 0);
    await page.keyboard.press("u");
    await page.locator("body[data-stale]").waitFor();
    const act = page.locator(".act").first();
    await act.click();
    assert.equal(page.url(), edge.page);
    await page.locator("#announce", { hasText: "Not while the page is old" }).waitFor();
    await page.keyboard.press("u");
    await page.locator("body:not([data-stale])").waitFor();
  });

  /** Lets the page's own clock run ahead. */
  async function withClock(address) {
    const page = await blank(browser);
    await page.clock.install();
    await page.goto(address);
    await page.locator("body[data-scripts]").waitFor();
    return page;
  }

  test("a page without a socket takes what has changed from itself, and keeps the reader's place", async () => {
    const { policy, pages } = allPages();
    const mine = pages.map((page) => ({ ...page }));
    const overview = mine.find(({ name }) => name === "overview");
    const other = await startEdge({ policy, pages: mine });
    try {
      const page = await withClock(other.url + overview.path);
      await page.evaluate(() => (document.getElementById("moving").isTheSame = true));
      const link = page.locator("#needs a").first();
      await link.focus();
      const focused = await active(page);
      overview.html = overview.html.replace(/(id="(?:now|needs)" data-mark=")\w+/g, "$1FFFFFFFF");
      overview.html = overview.html.replace(/(<h1 class="sentence">)/, "$1News. ");
      await page.clock.fastForward(15_000);
      await page.locator("#now", { hasText: "News." }).waitFor();
      await page.locator("#freshness", { hasText: "● Live every 15 s" }).waitFor();
      await page.locator("#needs[data-mark=FFFFFFFF]").waitFor();
      assert.equal(await active(page), focused, "its element is another one now");
      assert.ok(await page.evaluate(() => document.getElementById("moving").isTheSame), "untouched");
      assert.deepEqual(page.complaints, []);
    } finally {
      await other.stop();
    }
  });

  test("a message may have only what changed, and what it leaves open is asked for", async () => {
    const page = await live(edge.page);
    const key = "tug-ubuntu-noble-amd64";
    /** Changes the target, and sends only its package, as a change of that sequence number. */
    const say = (state, after = edge.release.sequence) => {
      const changed = edge.release.packages.find((one) => one.key === key);
      Object.assign(changed.targets[0], { state });
      edge.release.sequence += 1;
      const release = { ...edge.release, packages: [changed] };
      for (const socket of edge.sockets) socket.send(JSON.stringify({ after, release }));
    };
    say("approved");
    await page.locator(`#${noble}[data-state=approved]`).waitFor();
    assert.equal(edge.questions.length, 1, "the page itself is no release to put a change into");
    await page.evaluate(() => (document.getElementById("c-tug-el-9-amd64-el-9").isTheSame = true));
    say("releasing");
    await page.locator(`#${noble}[data-state=releasing]`).waitFor();
    say("released");
    await page.locator(`#${noble}[data-state=released]`).waitFor();
    assert.match(await page.title(), /^5\/18 · 1\.2\.0 · tug/, "what is said of the whole release follows");
    assert.equal(edge.questions.length, 1, "nothing has to be asked for");
    edge.release.sequence += 1;
    say("withdrawn");
    await page.locator(`#${noble}[data-state=withdrawn]`).waitFor();
    assert.equal(edge.questions.length, 2, "something is missing between");
    assert.ok(await page.evaluate(() => document.getElementById("c-tug-el-9-amd64-el-9").isTheSame), "untouched");
    assert.deepEqual(page.complaints, []);
  });

  test("ages and the time of the last data are counted by the edge's clock, whatever the browser's says", async () => {
    const page = await blank(browser);
    await page.clock.install({ time: new Date("2031-05-05T05:05:05Z") });
    await page.goto(edge.page);
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    edge.release.at = "2026-11-23T10:05:00.000Z";
    edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "approved", since: "2026-11-23T10:02:00.000Z" });
    await page.locator(`#${noble}[data-state=approved] time`, { hasText: "3 min ago" }).waitFor();
    await page.locator("#freshness", { hasText: /Live · 10:05:\d\d UTC/ }).waitFor();
  });

  /** A page whose parts are asked for again, and what it is answered with then. */
  const CAPTIVE = { status: 200, html: "<!DOCTYPE html><title>Welcome to the hotel</title><main id=main><h1 id=now>Sign in to our network</h1></main>" };

  for (const [what, instead] of [
    ["the page of a network that wants to be signed in to", CAPTIVE],
    ["a page that says nothing", { status: 200, html: "" }],
    ["a page that would run something", { status: 200, html: "<!DOCTYPE html><script>1</script><p id=freshness data-at='2099-01-01T00:00:00.000Z'>x</p>" }],
    ["an error", { status: 500, html: "<!DOCTYPE html><title>error</title>" }],
  ]) {
    test(`${what} is not taken for the page, and the page says how old it is`, async () => {
      const page = await withClock(edge.at("overview"));
      const title = await page.title();
      const text = await page.locator("#now").textContent();
      edge.instead = instead;
      await page.clock.fastForward(15_000);
      await page.locator("#freshness", { hasText: /Reconnecting, data from \d\d:\d\d:\d\d UTC/ }).waitFor();
      assert.equal(await page.title(), `Old · ${title}`);
      assert.equal(await page.locator("#now").textContent(), text);
      edge.instead = undefined;
      await page.clock.fastForward(35_000);
      await page.locator("#freshness", { hasText: "● Live every 15 s" }).waitFor();
      assert.equal(await page.title(), title);
    });
  }

  test("a page out of a cache, older than the one that is shown, is not shown", async () => {
    const page = await withClock(edge.at("overview"));
    const { html } = allPages().pages.find(({ name }) => name === "overview");
    edge.instead = { status: 200, html: html.replace(/data-at="\d{4}/, 'data-at="2020').replace(/(id="(?:now|needs)" data-mark=")\w+/g, "$1FFFFFFFF") };
    await page.clock.fastForward(15_000);
    await page.locator("#freshness", { hasText: "Reconnecting, data from" }).waitFor();
    assert.equal(await page.locator("[data-mark=FFFFFFFF]").count(), 0);
  });

  test("a page for another reader ends the asking, on a page that a socket keeps live too", async () => {
    for (const name of ["overview", "release"]) {
      const page = await withClock(edge.at(name));
      const { html } = allPages().pages.find((page) => page.name === name);
      const other = html.replace(/<(p|div) class="f-reader">[^]*?<\/\1>|(?=<\/header>)/, '<p class="f-reader">Signed in as <b>somebody else</b></p>').replace(/data-at="\d{4}/, 'data-at="2099');
      edge.instead = { status: 200, html: other };
      if (name === "release") edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "released" });
      await page.clock.fastForward(18_000);
      await page.locator("#freshness", { hasText: "You may not read this any more" }).waitFor();
      const asked = page.asked.length;
      await page.clock.fastForward(120_000);
      assert.equal(page.asked.length, asked);
      edge.instead = undefined;
    }
  });

  test("an edge that wants to be left alone is left alone for as long", async () => {
    const page = await withClock(edge.at("overview"));
    edge.instead = { status: 503, headers: { "retry-after": "120" }, html: "" };
    await page.clock.fastForward(15_000);
    await page.locator("#freshness", { hasText: "Reconnecting, data from" }).waitFor();
    const asked = page.asked.length;
    await page.clock.fastForward(100_000);
    assert.equal(page.asked.length, asked);
    edge.instead = undefined;
    await page.clock.fastForward(30_000);
    await page.locator("#freshness", { hasText: "● Live every 15 s" }).waitFor();
  });

  test("a socket that opens and says nothing is not called live", async () => {
    edge.answersSockets = false;
    const page = await blank(browser);
    const pinged = () => new Promise((said) => page.once("websocket", (socket) => socket.once("framesent", said)));
    await page.clock.install();
    let ping = pinged();
    await page.goto(edge.page);
    await ping;
    assert.match(await page.locator("#freshness").textContent(), /^As of/);
    ping = pinged();
    await page.clock.fastForward(10_001);
    await page.locator("#freshness", { hasText: "Reconnecting, data from" }).waitFor();
    await page.clock.fastForward(1_000);
    await ping;
    assert.match(await page.locator("#freshness").textContent(), /Reconnecting, data from/);
    await page.clock.fastForward(10_001);
    await page.locator("#freshness", { hasText: "● Live every 15 s" }).waitFor();
  });

  test("a page that slept says how old it is until it has heard something, and leads to no action", async () => {
    const page = await withClock(edge.page);
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    edge.answersSockets = false;
    await page.clock.fastForward(3_600_000);
    await page.locator("#freshness", { hasText: "Reconnecting, data from" }).waitFor();
    await page.locator("body[data-stale]").waitFor();
    assert.match(await page.title(), /^Old · 4\/18/);
    const act = page.locator(".act, .plays a").first();
    await act.click({ button: "middle" });
    assert.equal(page.context().pages().length, 1, "nor with the wheel");
    edge.answersSockets = true;
    await page.clock.fastForward(12_000);
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    assert.match(await page.title(), /^4\/18/);
  });

  test("a record that was put back to a time before is shown as it is now", async () => {
    const page = await live(edge.page);
    edge.release.sequence = 1;
    edge.release.at = "2099-01-01T00:00:00.000Z";
    edge.release.verdict = "This is as it was before.";
    edge.cut();
    await page.locator("h1", { hasText: "This is as it was before." }).waitFor();
  });

  test("what is copied from an old page says how old it is", async () => {
    const page = await blank(browser);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.goto(edge.page);
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    await page.keyboard.press("u");
    await page.locator("body[data-stale]").waitFor();
    await page.locator("[data-copy]").first().click();
    await page.locator("#announce", { hasText: "Copied." }).waitFor();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /Paused, data from \d\d:\d\d:\d\d UTC$/);
  });

  test("what has the focus beside a release leaves it there when a change takes it away", async () => {
    const page = await live(edge.at("failed"));
    const { path, html } = allPages().pages.find(({ name }) => name === "target-failed");
    await page.locator(`a.target[href="${path}"]`).click();
    await page.locator("#panel #target-copy").focus();
    const changed = html.replace(/<button id="target-copy"[^]*?<\/button>/, "").replace(/(id="target" data-mark=")\w+/, "$1FFFFFFFF");
    edge.instead = { status: 200, html: changed };
    const release = edge.releases.get(new URL(edge.at("failed")).pathname.split("/")[4]);
    edge.tell({ ...release, sequence: release.sequence + 1 });
    await page.locator("#panel #target[data-mark=FFFFFFFF]").waitFor();
    assert.equal(await active(page), "target");
  });

  test("a message about another release changes nothing", async () => {
    const page = await live(edge.page);
    const before = await page.locator("h1").textContent();
    const other = { ...edge.release, version: "9.9.9", verdict: "Another one.", sequence: edge.release.sequence + 5 };
    for (const socket of edge.sockets) socket.send(JSON.stringify(other));
    edge.change("tug-ubuntu-noble-amd64", "ubuntu/noble", { state: "approved" });
    await page.locator(`#${noble}[data-state=approved]`).waitFor();
    assert.equal(await page.locator("h1").textContent(), before);
    assert.deepEqual(page.complaints, []);
  });

  test("what is open beside a release goes when it is gone", async () => {
    const page = await live(edge.at("failed"));
    const { path } = allPages().pages.find(({ name }) => name === "target-failed");
    await page.locator(`a.target[href="${path}"]`).click();
    await page.locator("#panel #target").waitFor();
    edge.instead = { status: 404, html: "<!DOCTYPE html><title>Not found</title>" };
    const release = edge.releases.get(new URL(edge.at("failed")).pathname.split("/")[4]);
    edge.tell({ ...release, sequence: release.sequence + 1 });
    await page.locator("#panel a", { hasText: "Its own page" }).waitFor();
    assert.equal(await page.locator("#panel #target").count(), 0);
  });

  test("a page that is gone says so and asks no more", async () => {
    const { policy, pages } = allPages();
    const mine = pages.map((page) => ({ ...page }));
    const other = await startEdge({ policy, pages: mine });
    try {
      const { path } = mine.find(({ name }) => name === "status");
      const page = await withClock(other.url + path);
      await page.route("**/status", (route) => route.fulfill({ status: 404, contentType: "text/html", body: "" }));
      await page.clock.fastForward(15_000);
      await page.locator("#freshness", { hasText: "not here any more" }).waitFor();
      const asked = page.asked.length;
      await page.clock.fastForward(120_000);
      assert.equal(page.asked.length, asked);
    } finally {
      await other.stop();
    }
  });
});

test("a thousand messages leave nothing behind", { skip }, async () => {
  const other = await launch({ args: ["--js-flags=--expose-gc"] });
  const edge = await startEdge();
  try {
    const page = await blank(other);
    await page.goto(edge.page);
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    const changed = edge.release.packages.find((one) => one.key === "tug-ubuntu-noble-amd64");
    /** So many messages, every other one whole; then what is in use. */
    const after = async (count) => {
      for (let sent = 0; sent < count; sent += 1) {
        changed.targets[0].state = ["approved", "releasing", "released", "staged"][sent % 4];
        const after = edge.release.sequence;
        edge.release.sequence += 1;
        edge.release.verdict = `This is message ${edge.release.sequence}.`;
        const message = sent % 2 ? { after, release: { ...edge.release, packages: [changed] } } : edge.release;
        for (const socket of edge.sockets) socket.send(JSON.stringify(message));
      }
      await page.locator("h1", { hasText: edge.release.verdict }).waitFor();
      return page.evaluate(async () => {
        await new Promise((later) => setTimeout(later, 200));
        gc();
        return { bytes: performance.memory.usedJSHeapSize, elements: document.querySelectorAll("*").length };
      });
    };
    const before = await after(400);
    const later = await after(1000);
    assert.equal(later.elements, before.elements);
    assert.ok(later.bytes < before.bytes * 1.1, `${before.bytes} bytes have become ${later.bytes}`);
    assert.deepEqual(page.complaints, []);
  } finally {
    await other.close();
    await edge.stop();
  }
});

test("text becomes elements in one place alone", () => {
  const sinks = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTMLUnsafe|new Function|\beval\(/g;
  assert.deepEqual(asset("dashboard.js").toString().match(sinks), null);
  assert.deepEqual(readFileSync(`${root}/crates/dashboard/assets/boot.js`, "utf8").match(sinks), ["innerHTML"]);
  assert.match(allPages().policy, /require-trusted-types-for 'script'; trusted-types slipway$/);
});
