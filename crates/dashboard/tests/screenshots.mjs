// Pictures of every page, wide and narrow, light and dark, against those kept in `docs/images/pages`. For
// `cargo xtask screenshots [--accept]`, and for the test that compares them.
//
// The same page must give the same picture on every machine: one font, one clock, nothing that moves, and one browser.
// Another version of it draws letters a little differently, so pictures say by which they were made.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pixelmatch from "pixelmatch";
import { PNG } from "pngjs";
import { DEADLINE_MS, launch, narrow, skip, started, wide } from "./chromium.mjs";
import { startEdge } from "./edge.mjs";
import { root } from "./pages.mjs";
import { packed } from "./picture.mjs";

const kept = `${root}/docs/images/pages`;
const drafts = `${process.env.CARGO_TARGET_DIR ?? `${root}/target`}/screenshots`;

/** The fixtures that are shown, one or two a kind of page. */
const PAGES = [
  "overview", "overview-quiet", "project", "release", "calm", "empty", "signed-in", "target-failed", "target-released", "against",
  "deployments", "activity", "search", "status", "states", "keys", "hold", "extend-refused", "not-signed-in", "public", "public-target",
  "not-found", "error",
];
/** What is further down than a window shows: a picture's name, its fixture, and the element that it begins with. */
const FURTHER = [
  ["matrix", "board", "#packages-title"],
  ["list", "list", "#packages-title"],
];

const VIEWPORTS = [wide, narrow];
const SCHEMES = ["light", "dark"];

/** The time of the fixtures. */
const NOW = "2026-11-23T10:04:11Z";

/** How much of a picture may differ: what another machine may round differently, and no letter. */
const DIFFERENT_MAX = 0.001;

const PICTURE_BYTES_MAX = 60_000;
const ALL_BYTES_MAX = 3_000_000;

/** Only the faces that Debian's `fonts-dejavu-core` has, whatever else is installed. */
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts/truetype/dejavu</dir>
  <cachedir>${drafts}/fonts</cachedir>
  <selectfont>
    <rejectfont><glob>*Oblique*</glob></rejectfont>
    <rejectfont><glob>*Italic*</glob></rejectfont>
    <rejectfont><glob>*Condensed*</glob></rejectfont>
    <rejectfont><glob>*ExtraLight*</glob></rejectfont>
    <rejectfont><glob>*Math*</glob></rejectfont>
  </selectfont>
  <alias><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <match target="font">
    <edit name="antialias" mode="assign"><bool>true</bool></edit>
    <edit name="hinting" mode="assign"><bool>false</bool></edit>
    <edit name="rgba" mode="assign"><const>none</const></edit>
  </match>
</fontconfig>
`;

async function start() {
  mkdirSync(drafts, { recursive: true });
  const file = `${drafts}/fonts.conf`;
  writeFileSync(file, FONTS);
  return launch({
    args: ["--force-color-profile=srgb", "--disable-lcd-text", "--hide-scrollbars"],
    env: { ...process.env, FONTCONFIG_FILE: file },
  });
}

/** The browser that made the kept pictures: its name and its first number. */
const browserOfKept = () => /^Chromium \d+$/m.exec(readFileSync(`${kept}/README.md`, "utf8"))?.[0];
const name = (browser) => `Chromium ${browser.version().split(".")[0]}`;

/** Why pictures cannot be compared here, if they cannot. */
export async function incomparable() {
  if (skip) return skip;
  if (!existsSync("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")) return "no font: apt-get install fonts-dejavu-core";
  if (!existsSync(`${kept}/README.md`)) return "no pictures are kept: `cargo xtask screenshots --accept`";
  const browser = await start();
  const here = name(browser);
  await browser.close();
  return here === browserOfKept() ? false : `pictures were made by ${browserOfKept()}, and this is ${here}`;
}

/** Every picture by its file's name. */
async function* pictures(browser) {
  const edge = await startEdge();
  try {
    for (const [called, fixture, element] of [...PAGES.map((page) => [page, page]), ...FURTHER]) {
      for (const viewport of VIEWPORTS) {
        const context = await browser.newContext({
          viewport, deviceScaleFactor: 1, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC",
        });
        const page = await context.newPage();
        page.setDefaultTimeout(DEADLINE_MS);
        await page.clock.setFixedTime(NOW);
        await page.goto(edge.at(fixture));
        await started(page);
        const isLive = await page.locator("main[data-version]").count();
        if (isLive) await page.locator("#freshness", { hasText: "● Live ·" }).waitFor();
        if (element) await page.locator(element).evaluate((found) => found.scrollIntoView());
        for (const colorScheme of SCHEMES) {
          await page.emulateMedia({ colorScheme });
          const taken = await page.screenshot({ animations: "disabled", caret: "hide" });
          yield [`${called}-${viewport.width}-${colorScheme}.png`, packed(PNG.sync.read(taken))];
        }
        await context.close();
      }
    }
  } finally {
    await edge.stop();
  }
}

/** What is not as it is kept, a line each. Drafts and differences are left in the target folder. */
export async function differences() {
  const found = [];
  const browser = await start();
  const seen = new Set();
  try {
    for await (const [file, taken] of pictures(browser)) {
      seen.add(file);
      if (!existsSync(`${kept}/${file}`)) {
        found.push(`${file} is not kept`);
        continue;
      }
      const [before, now] = [PNG.sync.read(readFileSync(`${kept}/${file}`)), PNG.sync.read(taken)];
      if (before.width !== now.width || before.height !== now.height) {
        found.push(`${file} has another size`);
        continue;
      }
      const difference = new PNG({ width: now.width, height: now.height });
      const count = pixelmatch(before.data, now.data, difference.data, now.width, now.height, { threshold: 0.1 });
      const part = count / (now.width * now.height);
      if (part > DIFFERENT_MAX) {
        writeFileSync(`${drafts}/${file}`, taken);
        writeFileSync(`${drafts}/${file.replace(".png", ".difference.png")}`, PNG.sync.write(difference));
        found.push(`${file} differs in ${(part * 100).toFixed(2)} % of its pixels, see ${drafts}`);
      }
    }
  } finally {
    await browser.close();
  }
  for (const file of readdirSync(kept)) {
    if (file.endsWith(".png") && !seen.has(file)) found.push(`${file} is kept, and no page is shown so any more`);
  }
  return found;
}

/** Keeps every picture as it is now. */
async function accept() {
  const browser = await start();
  try {
    const taken = new Map();
    for await (const [file, picture] of pictures(browser)) taken.set(file, picture);
    // Not before all are there: what breaks off leaves those that are kept.
    rmSync(kept, { recursive: true, force: true });
    mkdirSync(kept, { recursive: true });
    for (const [file, picture] of taken) writeFileSync(`${kept}/${file}`, picture);
    writeFileSync(`${kept}/README.md`, about(name(browser)));
  } finally {
    await browser.close();
  }
  return tooLarge();
}

/** What is larger than pictures in a repository should be. */
export function tooLarge() {
  const files = readdirSync(kept).filter((file) => file.endsWith(".png"));
  const sizes = files.map((file) => [file, statSync(`${kept}/${file}`).size]);
  const all = sizes.reduce((sum, [, size]) => sum + size, 0);
  const found = sizes.filter(([, size]) => size > PICTURE_BYTES_MAX).map(([file, size]) => `${file}: ${size} bytes`);
  if (all > ALL_BYTES_MAX) found.push(`${files.length} pictures together: ${all} bytes`);
  return found;
}

const about = (browser) => `# Pictures of every page

Made by \`cargo xtask screenshots --accept\` and compared by \`cargo xtask test\`: whoever changes how a page looks looks at
them and accepts them anew. Each is what one window shows of a fixture, wide or narrow, light or dark. They were made by

${browser}

and are compared by no other version, which draws letters a little differently.
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isAccepting = process.argv[2] === "--accept";
  const reason = isAccepting ? false : await incomparable();
  if (reason) {
    console.error(`cannot compare: ${reason}`);
    process.exit(2);
  }
  const wrong = isAccepting ? await accept() : await differences();
  for (const line of wrong) console.error(line);
  if (!isAccepting && wrong.length === 0) console.log("every page looks as it is kept");
  process.exit(wrong.length === 0 ? 0 : 1);
}
