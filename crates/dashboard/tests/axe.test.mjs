// Every page that the view crate can render, in each look, judged by axe: `node --test crates/dashboard/tests/axe.test.mjs`.
//
// A page is loaded once; then the look and the width change under it, as they do for a reader who turns their phone.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { blank, launch, narrow, overflow, skip, started, violations, wide } from "./chromium.mjs";
import { startEdge } from "./edge.mjs";
import { allPages } from "./pages.mjs";

/** So many rows are there to be measured; axe would look at each of them for minutes, and each is like those of others. */
const TOO_LARGE = 1 << 20;
/** Pages with every kind of element. What forced colours take away is the same on all of them. */
const FORCED = ["release", "failed", "releasing", "blocked", "overview", "states"];

describe("every page is accessible", { skip, concurrency: 2 }, () => {
  let browser, edge;
  before(async () => {
    browser = await launch();
    edge = await startEdge();
  });
  after(async () => {
    await browser?.close();
    await edge?.stop();
  });

  /** A page as somebody reads it: at work, where it is a release's, which is kept live. */
  async function opened(name, options) {
    const page = await blank(browser, options);
    await page.goto(edge.at(name));
    await started(page);
    if (allPages().pages.find((page) => page.name === name).release) await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    return page;
  }

  const pages = skip ? [] : allPages().pages.filter((page) => page.html.length < TOO_LARGE);
  /** What was judged: a page, in a look and a width. */
  const judged = new Set();
  after(() => console.log(`# axe has judged ${judged.size} looks of ${pages.length} pages: light and dark, 1280 and 320 pixels wide`));

  for (const { name } of pages) {
    test(`${name}: nothing that axe finds or cannot judge, and no horizontal scrolling, light and dark, wide and narrow`, async () => {
      const page = await opened(name);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        for (const viewport of [wide, narrow]) {
          await page.setViewportSize(viewport);
          const look = `${colorScheme}, ${viewport.width} pixels`;
          assert.equal(await overflow(page), 0, look);
          const { found, ran } = await violations(page);
          assert.deepEqual(found, [], look);
          for (const rule of ["color-contrast", "target-size"]) assert.ok(ran.includes(rule), `${rule} was judged`);
          judged.add(`${name}, ${look}`);
        }
      }
      await page.context().close();
    });
  }

  for (const name of FORCED) {
    test(`${name}: nothing that axe finds or cannot judge with forced colours`, async () => {
      const page = await opened(name, { forcedColors: "active" });
      assert.deepEqual((await violations(page)).found, []);
      await page.context().close();
    });
  }

  for (const name of ["board", "failed", "releasing", "overview", "target-failed", "activity"]) {
    test(`${name}: on paper it is black on white, whatever the reader's screen, says every state in words, and leads to no button`, async () => {
      const page = await opened(name, { colorScheme: "dark", viewport: { width: 1040, height: 720 } });
      const words = () => page.locator(".target:visible, .chip:visible").allInnerTexts();
      const onScreen = await words();
      await page.emulateMedia({ media: "print" });
      assert.deepEqual(await words(), onScreen);
      assert.equal(await page.locator("button:visible, input:visible, .skip:visible").count(), 0);
      assert.equal(await overflow(page), 0);
      assert.deepEqual(
        await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector("h1")).color]),
        ["rgb(255, 255, 255)", "rgb(0, 0, 0)"],
      );
      assert.deepEqual((await violations(page)).found.filter((one) => one.includes("color-contrast")), []);
      await page.context().close();
    });
  }

  test("a page that is old, with a target beside it, breaks nothing either, light and dark, wide and narrow", async () => {
    const own = await startEdge();
    const page = await blank(browser);
    await page.goto(own.at("release"));
    await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
    await page.locator("#c-tug-ubuntu-noble-amd64-ubuntu-noble").click();
    await page.locator("#panel #target").waitFor();
    own.acceptsSockets = false;
    own.apiStatus = 503;
    own.cut();
    await page.locator("body[data-stale]").waitFor();
    await page.locator(".stale-why:visible").first().waitFor();
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const viewport of [wide, narrow]) {
        await page.setViewportSize(viewport);
        assert.deepEqual((await violations(page)).found, [], `${colorScheme}, ${viewport.width} pixels`);
      }
    }
    await page.context().close();
    await own.stop();
  });

  test("what breaks a rule is found: contrast, the size of targets, a name that is missing", async () => {
    const page = await opened("calm");
    for (const [style, rule] of [
      ["a { color: #bbb !important; background: #fff !important }", /breaks color-contrast/],
      [
        "#tally, #tally li { display: block !important } " +
          "#tally a { display: inline-block !important; min-height: 0 !important; padding: 0 !important; font-size: 6px !important; border: 0 !important }",
        /breaks target-size/,
      ],
    ]) {
      // The page's policy lets nothing inline in; a sheet made by script is no element.
      await page.evaluate((style) => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(style);
        document.adoptedStyleSheets = [sheet];
      }, style);
      assert.match((await violations(page)).found.join("\n"), rule);
    }
    await page.evaluate(() => document.querySelectorAll("label, [placeholder]").forEach((one) => (one.localName === "label" ? one.remove() : (one.placeholder = ""))));
    assert.match((await violations(page)).found.join("\n"), /breaks label/);
    await page.context().close();
  });

  test("there is a page of every state of a target", () => {
    const names = new Set(allPages().pages.map((page) => page.name));
    const states = allPages().pages.find((page) => page.name === "states").html.match(/id="g-(\w+)"/g);
    assert.ok(states.length >= 11);
    for (const [, state] of states.map((id) => /"g-(\w+)"/.exec(id))) {
      for (const name of [state, `target-${state}`]) assert.ok(names.has(name), name);
    }
    // Whatever else is the matter with a release is shown at its targets, too.
    for (const name of ["unknown", "drift", "blocked", "stopped", "held", "closed", "expiring"]) {
      for (const one of [name, `target-${name}`]) assert.ok(names.has(one), one);
    }
    const left = allPages().pages.filter((page) => !pages.includes(page)).map(({ name }) => name);
    assert.deepEqual(left, ["rows-5000"], "every other page is judged");
  });

  test("what axe cannot judge is found, too", async () => {
    const page = await opened("calm");
    await page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("h1 { background: linear-gradient(90deg, #fff, #777, #fff) !important }");
      document.adoptedStyleSheets = [sheet];
    });
    assert.match((await violations(page)).found.join("\n"), /cannot judge color-contrast/);
    await page.context().close();
  });
});
