// `node time.mjs RELEASE.json COUNT`: makes a release's page so often, and prints what that took as a line of JSON.
import { readFileSync } from "node:fs";
import { page } from "./index.js";

const [file, count] = process.argv.slice(2);
const json = readFileSync(file, "utf8");
const timed = (times) => {
  const before = process.cpuUsage();
  let length = 0;
  for (let done = 0; done < times; done += 1) length = page(json).length;
  const { user, system } = process.cpuUsage(before);
  return { length, milliseconds: (user + system) / 1000 / times };
};
// An isolate compiles the module with its first page; V8 makes it faster while it is used.
const first = timed(1).milliseconds;
timed(20);
const values = [];
for (let round = 0; round < 5; round += 1) values.push(timed(Number(count)).milliseconds);
console.log(JSON.stringify({ first, values, length: timed(1).length }));
