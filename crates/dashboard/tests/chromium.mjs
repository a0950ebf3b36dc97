// Debian's Chromium for a test file, and what is asked of every page in it.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Why tests in a browser cannot run here; `false` where they can. */
export const skip = existsSync(executablePath) ? false : `no browser at ${executablePath}: apt-get install chromium`;

export const wide = { width: 1280, height: 800 };
/** How long anything may take that is to happen in a page. It is waited for no longer than it takes; the machine may be busy. */
export const DEADLINE_MS = 30_000;
/** The narrowest that WCAG 1.4.10 asks for. */
export const narrow = { width: 320, height: 640 };

export function launch({ args = [], ...rest } = {}) {
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", ...args], ...rest });
}

/** A page that remembers what it asked for and complained about, opened nowhere yet. */
export async function blank(browser, options) {
  return blankIn(await newContext(browser, options));
}

export function newContext(browser, { viewport = wide, ...rest } = {}) {
  return browser.newContext({ viewport, reducedMotion: "reduce", ...rest });
}

/** Such a page beside others. */
export async function blankIn(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  page.asked = [];
  page.complaints = [];
  page.on("request", (request) => page.asked.push(request.url()));
  page.on("websocket", (socket) => page.asked.push(socket.url()));
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
  page.on("dialog", (dialog) => {
    page.complaints.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  return page;
}

/** Waits until a page's own scripts are at work, where it has any. They begin after it is loaded, and what they show is not there before. */
export async function started(page) {
  if (await page.locator("script[type=module]").count()) await page.locator("body[data-scripts]").waitFor();
}

/** Waits until what is asked for is what is expected: for what no element of a page shows. */
export async function becomes(ask, expected) {
  let answer = await ask();
  for (const until = Date.now() + DEADLINE_MS; answer !== expected && Date.now() < until; answer = await ask()) {
    await new Promise((later) => setTimeout(later, 50));
  }
  assert.equal(answer, expected);
}

/** Whether an address is exactly this one, for `waitForURL`. */
export const exactly = (address) => (url) => url.href === address;

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** axe's own settings, but for this: symbols and single letters have to be seen as well as other text. */
const contrast = {
  ignoreUnicode: false,
  ignoreLength: true,
  ignorePseudo: false,
  boldValue: 700,
  boldTextPt: 14,
  largeTextPt: 18,
  contrastRatio: { normal: { expected: 4.5 }, large: { expected: 3 } },
  pseudoSizeThreshold: 0.25,
  shadowOutlineEmMax: 0.2,
  textStrokeEmMin: 0.03,
};
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe finds wrong with a page, and what it cannot judge. `target-size` is one of the tags' rules, and contrast too. */
export async function violations(page) {
  // Through the debugging protocol, which the page's policy does not bind.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const { violations, incomplete, ran } = await page.evaluate(async ([tags, options]) => {
    const shorten = ({ id, nodes }) => ({ id, nodes: nodes.map((node) => node.html.slice(0, 160)) });
    axe.configure({ checks: [{ id: "color-contrast", options }] });
    const found = await axe.run(document, { runOnly: tags, resultTypes: ["violations", "incomplete"] });
    const ran = [...found.passes, ...found.violations, ...found.incomplete, ...found.inapplicable].map(({ id }) => id);
    return { violations: found.violations.map(shorten), incomplete: found.incomplete.map(shorten), ran };
  }, [tags, contrast]);
  const told = (word) => ({ id, nodes }) => `${word} ${id}: ${nodes.slice(0, 5).join(" | ")}`;
  return { found: [...violations.map(told("breaks")), ...incomplete.map(told("cannot judge"))], ran };
}

/** By how many pixels a page is wider than its window, with everything unfolded. */
export async function overflow(page) {
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
