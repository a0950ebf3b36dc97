// What a first visit to a release's page loads, from the built files.

import { gzipSync } from "node:zlib";
import { asset } from "./edge.mjs";
import { allPages } from "./pages.mjs";

/** The bytes that travel when it is packed as well as gzip can. */
const packed = (content) => gzipSync(content, { level: 9 }).length;

/** Every file that a page of 60 targets has a browser load, with its packed size; the page itself is `page`. */
export function firstLoad() {
  const { html: page } = allPages().pages.find(({ name }) => name === "rows-60");
  const named = new Set([...page.matchAll(/"\/assets\/([^"]+)"/g)].map(([, name]) => name));
  const sizes = { page: packed(page) };
  // A file that only a script names would be missed here; the test that counts a browser's requests finds it.
  for (const name of named) sizes[name] = packed(asset(name));
  return sizes;
}
