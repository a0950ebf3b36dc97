// What a reader of the dashboard waits for, in Debian's Chromium on a slow machine and a slow network. For
// `cargo xtask bench dashboard`, which knows the marks:
//
//     node bench.mjs pages                 a release of 60 and one of 5,000 targets, through the fixture edge
//     node bench.mjs edge URL              the page at URL, as a running edge serves it
//     node bench.mjs lighthouse URL CLI    Lighthouse's four scores of that page
//
// Prints a line of JSON a figure: case, metric and the value of each round.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { executablePath, launch } from "./chromium.mjs";
import { startEdge } from "./edge.mjs";
import { startPacking } from "./packing.mjs";
import { firstLoad } from "./sizes.mjs";

const ROUNDS = 5;

/** How much slower the reader's machine is than this one. */
const SLOWER = 4;
/** 150 ms for a round trip, 1.6 Mbit/s down and 0.75 up: Lighthouse's slow 4G. */
const SLOW_4G = { offline: false, latency: 150, downloadThroughput: 1_600_000 / 8, uploadThroughput: 750_000 / 8 };

/** No page takes so long, however slow the machine is. */
const LIMIT_MS = 60_000;

const SCROLL_STEPS = 120;
const SCROLL_PIXELS = 400;

const median = (values) => [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
const quantile = (values, part) => {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)];
};

/** The values of each metric of a case, as rounds bring them. */
class Figures {
  #values = new Map();

  add(name, metrics) {
    for (const [metric, value] of Object.entries(metrics)) {
      const key = JSON.stringify([name, metric]);
      this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
    }
  }

  print() {
    for (const [key, values] of this.#values) {
      const [name, metric] = JSON.parse(key);
      console.log(JSON.stringify({ case: name, metric, values }));
    }
  }
}

/** Runs in the page before anything of its own: what the browser tells of its painting, and when the page was live. */
function observe() {
  const seen = { lcp: 0, cls: 0, tasks: [], live: 0, heard: 0 };
  window.seen = seen;
  const on = (type, read) =>
    new PerformanceObserver((list) => list.getEntries().forEach(read)).observe({ type, buffered: true });
  on("largest-contentful-paint", (entry) => (seen.lcp = entry.startTime));
  on("layout-shift", (entry) => (seen.cls += entry.hadRecentInput ? 0 : entry.value));
  on("longtask", (entry) => seen.tasks.push([entry.startTime, entry.duration]));
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...details) {
      super(...details);
      // The page's own listener comes after this one.
      this.addEventListener("message", () => (seen.heard = performance.now()));
    }
  };
  const look = () => {
    if (document.getElementById("freshness")?.textContent.includes("● Live")) seen.live = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

/** Opens a page as somebody who was never there, and waits until it is live. */
async function visit(browser, address, { slower = SLOWER, network = SLOW_4G } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const protocol = await context.newCDPSession(page);
  const loaded = { requests: 0, bytes: 0, elsewhere: 0 };
  protocol.on("Network.requestWillBeSent", ({ request }) => {
    loaded.requests += 1;
    loaded.elsewhere += new URL(request.url).origin === new URL(address).origin ? 0 : 1;
  });
  protocol.on("Network.loadingFinished", ({ encodedDataLength }) => (loaded.bytes += encodedDataLength));
  await protocol.send("Network.enable");
  if (network) await protocol.send("Network.emulateNetworkConditions", network);
  await protocol.send("Emulation.setCPUThrottlingRate", { rate: slower });
  await page.addInitScript(observe);
  await page.goto(address, { waitUntil: "commit" });
  const began = Date.now();
  while (!(await page.evaluate(() => window.seen?.live))) {
    if (Date.now() - began > LIMIT_MS) throw new Error(`${address} is not live after ${LIMIT_MS / 1000} s`);
    await page.waitForTimeout(100);
  }
  // What the browser tells of the time until then comes a little after it.
  await page.waitForTimeout(500);
  const times = await page.evaluate(() => {
    const { lcp, cls, tasks, live } = window.seen;
    const fcp = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    const inBetween = tasks.filter(([start]) => start >= fcp && start < live);
    const tbt = inBetween.reduce((all, [, duration]) => all + duration - 50, 0);
    return { fcp: fcp / 1000, lcp: lcp / 1000, live: live / 1000, tbt, cls };
  });
  return { context, page, protocol, loaded, times };
}

/** Runs in the page: the next event of this kind in the filter is timed until what it has changed is painted. */
function timeNext(kind) {
  window.painted = new Promise((resolve) => {
    const painted = (began) => {
      // A message that is sent from a frame's callback arrives after that frame.
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve(performance.now() - began);
      port2.postMessage(null);
    };
    const listener = (event) => {
      const began = kind === "keydown" ? event.timeStamp : performance.now();
      requestAnimationFrame(() => painted(began));
    };
    document.addEventListener(kind, listener, { capture: true, once: true });
  });
}

async function timed(page, kind, act) {
  await page.evaluate(timeNext, kind);
  await act();
  return page.evaluate(() => window.painted);
}

const shown = (page) => page.locator("#shown").textContent();

/** Types letters into the filter: from each key until its letter and its rows are painted. */
async function keys(page) {
  await page.locator("#filter-words").focus();
  const times = [];
  for (const letter of "arm64") times.push(await timed(page, "keydown", () => page.keyboard.press(letter)));
  if (!/^30 of 60 /.test(await shown(page))) throw new Error(`the filter shows: ${await shown(page)}`);
  return median(times);
}

/** One target changes: from the message until the page shows it. */
async function pushed(page, edge) {
  const [released] = edge.release.packages.filter((one) => one.targets[0].state === "staged");
  await page.evaluate(() => {
    window.changed = new Promise((resolve) => {
      new MutationObserver(() => resolve(performance.now() - window.seen.heard)).observe(
        document.getElementById("main"), { childList: true, subtree: true });
    });
  });
  edge.change(released.key, released.targets[0].distro, { state: "approved" });
  return page.evaluate(() => window.changed);
}

/** Narrows the filter to a few rows, and clears it. */
async function narrowAndClear(page) {
  await page.locator("#filter-words").focus();
  const narrow = await timed(page, "input", () => page.keyboard.insertText("zoekt-ubuntu-noble-arm64"));
  if (!/^1 of 5000 /.test(await shown(page))) throw new Error(`the filter shows: ${await shown(page)}`);
  await page.keyboard.press("Control+A");
  const clear = await timed(page, "keydown", () => page.keyboard.press("Backspace"));
  if ((await shown(page)) !== "") throw new Error(`the filter shows: ${await shown(page)}`);
  return { narrow, clear };
}

/** The time between frames while the page scrolls. */
async function scrolled(page) {
  const frames = await page.evaluate(async ([steps, pixels]) => {
    const frame = () => new Promise(requestAnimationFrame);
    scrollTo(0, 0);
    await frame();
    const times = [await frame()];
    for (let step = 0; step < steps; step += 1) {
      scrollBy(0, pixels);
      times.push(await frame());
    }
    return times.slice(1).map((time, at) => time - times[at]);
  }, [SCROLL_STEPS, SCROLL_PIXELS]);
  return { p50: quantile(frames, 0.5), p95: quantile(frames, 0.95), max: quantile(frames, 1) };
}

async function heap(protocol) {
  await protocol.send("HeapProfiler.collectGarbage");
  return (await protocol.send("Runtime.getHeapUsage")).usedSize / 1e6;
}

/** The fixture edge behind what packs, and the address of one of its pages. */
async function serve(name) {
  const edge = await startEdge();
  const address = new URL(edge.at(name));
  edge.release = edge.releases.get(decodeURIComponent(address.pathname.split("/").at(-1)));
  const front = await startPacking(edge.url);
  // Packed once, so that no visit waits for that.
  await fetch(front.url + address.pathname);
  return { edge, front, address: front.url + address.pathname };
}

async function small(browser, figures) {
  for (let round = 0; round < ROUNDS; round += 1) {
    const { edge, front, address } = await serve("rows-60");
    const { context, page, protocol, loaded, times } = await visit(browser, address);
    figures.add("60 rows", { ...times, ...loaded, heap: await heap(protocol) });
    figures.add("60 rows", { push: await pushed(page, edge), key: await keys(page) });
    await context.close();
    await front.stop();
    await edge.stop();
  }
}

async function large(browser, figures) {
  const { edge, front, address } = await serve("rows-5000");
  for (let round = 0; round < ROUNDS; round += 1) {
    const { context, page, protocol, times } = await visit(browser, address);
    figures.add("5,000 rows", { fcp: times.fcp, live: times.live, tbt: times.tbt });
    figures.add("5,000 rows", await scrolled(page));
    figures.add("5,000 rows", await narrowAndClear(page));
    await protocol.send("Emulation.setCPUThrottlingRate", { rate: 1 });
    figures.add("5,000 rows at full speed", await scrolled(page));
    await context.close();
  }
  await front.stop();
  await edge.stop();
}

async function running(browser, figures, address) {
  const front = await startPacking(address);
  const { pathname, search } = new URL(address);
  await fetch(`${front.url}${pathname}${search}`);
  for (let round = 0; round < ROUNDS; round += 1) {
    const { context, loaded, times } = await visit(browser, `${front.url}${pathname}${search}`);
    figures.add("workerd", { ...times, ...loaded });
    await context.close();
  }
  await front.stop();
}

/** Lighthouse starts a browser of its own, with the slow phone that it simulates. */
async function lighthouse(figures, address, program) {
  const front = await startPacking(address);
  const { pathname, search } = new URL(address);
  for (let round = 0; round < 3; round += 1) {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [program, `${front.url}${pathname}${search}`, "--quiet", "--no-enable-error-reporting", "--output=json", "--output-path=stdout",
        "--only-categories=performance,accessibility,best-practices,seo",
        "--chrome-flags=--headless=new --no-sandbox --disable-dev-shm-usage"],
      { env: { ...process.env, CHROME_PATH: executablePath }, maxBuffer: 1 << 26 },
    );
    const { categories, audits, runtimeError } = JSON.parse(stdout);
    if (runtimeError) throw new Error(`Lighthouse: ${runtimeError.message}`);
    const scores = Object.entries(categories).map(([id, { score }]) => [id, Math.round(score * 100)]);
    figures.add("Lighthouse", Object.fromEntries(scores));
    // What has cost points, for whoever reads the log.
    for (const { id, score, title } of Object.values(audits)) {
      if (score !== null && score < 0.9) console.error(`Lighthouse: ${id} ${score}: ${title}`);
    }
  }
  await front.stop();
}

const [what, address, program] = process.argv.slice(2);
const figures = new Figures();
if (what === "lighthouse") {
  await lighthouse(figures, address, program);
} else {
  const browser = await launch();
  console.error(`Chromium ${browser.version()}`);
  try {
    if (what === "edge") {
      await running(browser, figures, address);
    } else {
      const sizes = firstLoad();
      figures.add("60 rows, packed", {
        wasm: sizes["dashboard_bg.wasm"],
        glue: sizes["dashboard.js"],
        "page and styles": sizes.page + sizes["style.css"],
        all: Object.values(sizes).reduce((all, size) => all + size, 0),
      });
      await small(browser, figures);
      await large(browser, figures);
    }
  } finally {
    await browser.close();
  }
}
figures.print();
