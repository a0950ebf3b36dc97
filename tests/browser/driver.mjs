// Does in Chromium what a test in another language says: a line of JSON in, a line of JSON out.
//
//   {"id": 1, "page": 1, "do": "click", "selector": "#pause"}  →  {"id": 1, "ok": true, "value": null}
//                                                             or  {"id": 1, "ok": false, "why": "…"}
//
// Every page is somebody of their own, with cookies of their own. What a page did that nobody asked for is kept: errors,
// dialogs, and what its policy had to forbid.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Installed for the dashboard's own tests.
const require = createRequire(new URL("../../crates/dashboard/tests/package.json", import.meta.url));
const { chromium } = require("playwright-core");

/** How long anything may take that is to happen in a page. The machine may be busy with other tests. */
const DEADLINE_MS = 60_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const pages = new Map();

async function open({ dark = false, narrow = false, scripts = true, cookie, address, trusting = false }) {
  const context = await browser.newContext({
    viewport: narrow ? { width: 320, height: 640 } : { width: 1280, height: 800 },
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
    javaScriptEnabled: scripts,
    // A test's own certificate is nobody else's.
    ignoreHTTPSErrors: trusting,
  });
  if (cookie) await context.addCookies([{ ...cookie, url: address, httpOnly: true, sameSite: "Lax" }]);
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const seen = { page, complaints: [], asked: [] };
  await page.exposeBinding("__reported", (_, report) => void seen.complaints.push(report)).catch(() => {});
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.__reported?.(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  page.on("request", (request) => seen.asked.push(`${request.method()} ${request.url()}`));
  page.on("websocket", (socket) => seen.asked.push(`SOCKET ${socket.url()}`));
  page.on("pageerror", (error) => seen.complaints.push(`error: ${error}`));
  page.on("console", (message) => message.type() === "error" && seen.complaints.push(`console: ${message.text()} ${message.location().url}`));
  page.on("dialog", (dialog) => {
    seen.complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  return seen;
}

const acts = {
  async goto({ page }, { url }) {
    return (await page.goto(url))?.status() ?? null;
  },
  back: async ({ page }) => void (await page.goBack()),
  reload: async ({ page }) => (await page.reload())?.status() ?? null,
  click: ({ page }, { selector }) => page.locator(selector).first().click(),
  async download({ page }, { selector }) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(selector).first().click()]);
    return [download.suggestedFilename(), await readFile(await download.path(), "utf8")];
  },
  fill: ({ page }, { selector, text }) => page.locator(selector).first().fill(text),
  choose: async ({ page }, { selector, text }) => void (await page.locator(selector).first().selectOption(text)),
  press: ({ page }, { key }) => page.keyboard.press(key),
  type: ({ page }, { text }) => page.keyboard.type(text),
  text: ({ page }, { selector }) => page.locator(selector).first().innerText(),
  texts: ({ page }, { selector }) => page.locator(selector).allInnerTexts(),
  html: ({ page }) => page.content(),
  count: ({ page }, { selector }) => page.locator(selector).count(),
  visible: ({ page }, { selector }) => page.locator(selector).first().isVisible(),
  attribute: ({ page }, { selector, name }) => page.locator(selector).first().getAttribute(name),
  url: ({ page }) => page.url(),
  title: ({ page }) => page.title(),
  focused: ({ page }) => page.evaluate(() => {
    const { activeElement } = document;
    const { id, localName } = activeElement ?? {};
    return id || (localName === "body" ? "body" : activeElement?.innerText?.trim()) || localName || "";
  }),
  eval: ({ page }, { code }) => page.evaluate(code),
  async wait({ page }, { selector, text, gone = false }) {
    const found = text === undefined ? page.locator(selector) : page.locator(selector, { hasText: text });
    await found.first().waitFor({ state: gone ? "detached" : "attached" });
  },
  wait_url: ({ page }, { part }) => page.waitForURL((url) => url.href.includes(part)),
  wait_title: async ({ page }, { part }) => {
    // Not by a function in the page, which its policy need not let run.
    for (const until = Date.now() + DEADLINE_MS; !(await page.title()).includes(part); ) {
      if (Date.now() > until) throw new Error(`the title is ${await page.title()}`);
      await new Promise((later) => setTimeout(later, 50));
    }
  },
  offline: ({ page }, { off }) => page.context().setOffline(off),
  cookies: ({ page }) => page.context().cookies(),
  shot: async ({ page }, { file }) => void (await page.screenshot({ path: file })),
  aria: ({ page }, { selector }) => page.locator(selector).ariaSnapshot(),
  complaints: ({ complaints }) => complaints,
  asked: ({ asked }) => asked,
  close: ({ page }) => page.context().close(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, page, do: act, ...given } = JSON.parse(line);
  let said;
  try {
    if (act === "open") {
      pages.set(page, await open(given));
      said = { id, ok: true, value: null };
    } else if (!acts[act]) {
      said = { id, ok: false, why: `there is no \`${act}\`` };
    } else {
      said = { id, ok: true, value: (await acts[act](pages.get(page), given)) ?? null };
    }
  } catch (error) {
    said = { id, ok: false, why: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
// Whoever said what to do has ended.
await browser.close();
