// Text that means harm, through every field that a page shows: `node --test crates/dashboard/tests/hostile.test.mjs`.
//
// The pages come from the same functions as the edge's; then the browser renders the same release again, from a live
// message. Nothing of it may run, ask for anything, be an element, or hide.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { blankIn, launch, newContext, skip } from "./chromium.mjs";
import { corpus, thoughtOf } from "./corpus.mjs";
import { startEdge } from "./edge.mjs";
import { hostilePages } from "./pages.mjs";

/** Every element that a page of Slipway is made of. */
const ELEMENTS =
  "html head meta title link script noscript body header nav main section aside footer h1 h2 h3 p div span a b i em strong small " +
  "code kbd pre ul ol li dl dt dd table caption thead tbody tr th td time details summary form fieldset legend label input " +
  "textarea select option datalist button svg symbol path use rect g";

/**
 * Characters that nobody sees, by Unicode's own properties: controls, what renderers leave out, separators of lines,
 * marks of annotations, and the one blank that is no space.
 */
const HIDDEN = "[\\p{Cc}\\p{Default_Ignorable_Code_Point}\\p{Zl}\\p{Zp}\\ufff9-\\ufffb\\u2800]";

/** Text as a page has to show it: what nobody would see is spelt out. */
function spelt(text) {
  const point = (character) => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return text.replace(new RegExp(HIDDEN, "gu"), (character) => `[U+${point(character)}]`);
}

/** What is wrong with the page that is open: whatever came of text that should have been shown. */
function wrongs([elements, hidden]) {
  const wrong = [];
  const known = new Set(elements.split(" "));
  const isHidden = new RegExp(hidden, "u");
  if (globalThis.__ran) wrong.push("a script has run");
  for (const report of globalThis.__reports ?? []) wrong.push(`the policy was needed: ${report}`);
  for (const element of document.querySelectorAll("*")) {
    if (!known.has(element.localName)) wrong.push(`an element: ${element.outerHTML.slice(0, 120)}`);
    if (element.localName === "script" && (element.text || !element.getAttribute("src")?.startsWith("/assets/"))) wrong.push(`a script: ${element.outerHTML.slice(0, 120)}`);
    for (const { name, value } of element.attributes) {
      if (/^on|^style$|^srcdoc$/i.test(name)) wrong.push(`an attribute: ${name}=${value.slice(0, 120)}`);
      if (/^(href|src|action|formaction|xlink:href)$/.test(name) && !/^(https?:\/\/[!-~]+|\/(?!\/)[!-~]*|#[!-~]*|\?[!-~]*)$/.test(value)) wrong.push(`an address: ${name}=${value.slice(0, 120)}`);
      // What is in a field is what the reader has put there, and goes back as it came.
      const isShown = /^(title|alt|placeholder|value|aria-.+)$/.test(name) && element.localName !== "input";
      if (isShown && isHidden.test(value)) wrong.push(`not to be seen: ${name}=${JSON.stringify(value.slice(0, 120))}`);
    }
  }
  const texts = document.createTreeWalker(document, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (node.nodeType === Node.COMMENT_NODE) wrong.push(`a comment: ${node.data.slice(0, 120)}`);
    // Lines to copy are in lines of their own.
    const text = node.parentElement?.closest("pre") ? node.data.replaceAll("\n", "") : node.data;
    if (isHidden.test(text)) wrong.push(`not to be seen: ${JSON.stringify(node.data.slice(0, 120))}`);
  }
  return wrong.slice(0, 10);
}

/** Whatever a browser does that it was not to do. */
async function judge(page, own) {
  assert.deepEqual(await page.evaluate(wrongs, [ELEMENTS, HIDDEN]), []);
  assert.deepEqual(page.complaints, []);
  assert.deepEqual(page.asked.filter((address) => !own.some((one) => address.startsWith(one))), [], "nothing else was asked for");
}

describe("text that means harm", { skip, concurrency: 2 }, () => {
  const made = skip ? { pages: [] } : hostilePages(corpus);
  let browser, context, edge;
  before(async () => {
    browser = await launch();
    // Nothing that a page could leave behind reaches another: each is judged by what it holds, asks for and says itself.
    context = await newContext(browser);
    edge = await startEdge(made);
  });
  after(async () => {
    await browser?.close();
    await edge?.stop();
  });

  async function opened(address) {
    const page = await blankIn(context);
    // Some of these pages have megabytes.
    page.setDefaultTimeout(60_000);
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => (globalThis.__reports ??= []).push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    await page.goto(address);
    return page;
  }

  /** What a page of this edge may ask for. */
  const own = (address) => [address, `${edge.url}/assets/`, ...["http", "ws"].map((scheme) => edge.url.replace("http", scheme) + "/api/v1/projects/")];

  test("there are as many strings as were promised, each once", () => {
    assert.ok(corpus.length >= 600, `${corpus.length}`);
    assert.ok(thoughtOf >= 200, `${thoughtOf}`);
    assert.equal(new Set(corpus).size, corpus.length);
  });

  for (const { name } of made.pages) {
    if (name.startsWith("before-")) continue;
    test(`${name}: none of it runs, asks for anything, is an element or hides, as the edge renders it`, async () => {
      const page = await opened(edge.at(name));
      await judge(page, own(edge.at(name)));
      await page.close();
    });
  }

  for (const { name, release } of made.pages) {
    if (!name.startsWith("release-")) continue;
    test(`${name}: none of it runs, asks for anything, is an element or hides, as the browser renders it`, async () => {
      const address = edge.at(name.replace("release", "before"));
      const last = JSON.parse(release).packages.at(-1).key;
      const page = await opened(address);
      await page.locator(`[id*="-${last}-"]`).first().waitFor({ state: "attached" });
      await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
      await judge(page, own(address));
      await page.close();
    });
  }

  test("every string is shown, and what nobody would see in it is spelt out", () => {
    const texts = made.pages.filter(({ name }) => name.startsWith("release-")).map(({ html }) => html);
    const escaped = (text) => spelt(text).replace(/[&<>"]/g, (character) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[character]);
    const lost = corpus.filter((text, number) => !texts[Math.floor(number / 100)].includes(escaped(text)));
    assert.deepEqual(lost, []);
  });

  test("a page that does any of it is found out", async () => {
    // Without a policy, which would be in the way of what is planted here.
    const open = await startEdge({ policy: "", pages: [{ name: "bare", path: "/bare", html: "<!DOCTYPE html><title>x</title><main></main>" }] });
    try {
      const page = await opened(open.at("bare"));
      for (const [html, told] of [
        ["<marquee>x</marquee>", /an element: <marquee>/],
        ["<a href='javascript:x'>x</a>", /an address: href=javascript:x/],
        ["<a href='//elsewhere.invalid'>x</a>", /an address: /],
        ["<p title='\u200b'>x</p>", /not to be seen: title/],
        ["<p>\u202e</p>", /not to be seen: /],
        ["<p>\u{1d173}</p>", /not to be seen: /],
        ["<!-- x -->", /a comment: /],
        ["<p style='color:red'>x</p>", /an attribute: style/],
        ["<img src=/ran onerror=__ran=1>", /an element: <img[^]*an attribute: onerror/],
      ]) {
        await page.evaluate((html) => document.querySelector("main").setHTMLUnsafe(html), html);
        assert.match((await page.evaluate(wrongs, [ELEMENTS, HIDDEN])).join("\n"), told);
      }
      await page.waitForFunction(() => globalThis.__ran);
      assert.match((await page.evaluate(wrongs, [ELEMENTS, HIDDEN])).join("\n"), /a script has run/);
      assert.ok(page.asked.includes(`${open.url}/ran`), "what is asked for is seen");
      await page.close();
    } finally {
      await open.stop();
    }
    const page = await opened(edge.at("error"));
    // What its policy forbids, a browser says a little later.
    await page.evaluate(
      () =>
        new Promise((said) => {
          addEventListener("securitypolicyviolation", () => said(), { once: true });
          document.body.append(Object.assign(new Image(), { src: "https://elsewhere.invalid/x" }));
        }),
    );
    await assert.rejects(judge(page, own(edge.at("error"))), /the policy was needed: img-src/);
    await page.close();
  });
});
