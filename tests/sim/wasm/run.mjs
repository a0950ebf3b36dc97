// `node run.mjs FIRST COUNT`: prints what came of so many seeds, a line each.
import { fingerprint } from "./index.js";

const [first, count] = process.argv.slice(2).map(Number);
for (let seed = first; seed < first + count; seed += 1) console.log(fingerprint(seed));
