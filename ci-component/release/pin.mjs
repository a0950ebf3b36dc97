// Makes a version of this component: loads the command's tarball, puts it into this project's package registry, and
// writes its address there and its SHA-256 into the templates, as what they use unless told otherwise.
//
//   node release/pin.mjs VERSION ADDRESS
//
// The registry keeps a version for as long as the project is there; an edge only serves the command it was built with.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const [version, from] = process.argv.slice(2);
const { CI_API_V4_URL: api, CI_PROJECT_ID: project, CI_JOB_TOKEN: token } = process.env;
const stop = (why) => {
  console.error(`No version was made: ${why}`);
  process.exit(1);
};
if (!/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version ?? "")) stop(`\`${version}\` is no version such as 1.2.3.`);
if (!from?.includes("://")) stop(`\`${from}\` is no address of a tarball.`);

const loaded = await fetch(from, { redirect: "error" }).catch((error) => stop(`${from} cannot be loaded: ${error.cause?.message ?? error.message}.`));
if (!loaded.ok) stop(`${from} answers ${loaded.status}.`);
const bytes = Buffer.from(await loaded.arrayBuffer());
const sha256 = createHash("sha256").update(bytes).digest("hex");

const address = `${api}/projects/${project}/packages/generic/slipway/${version}/slipway-${version}.tgz`;
// A version that is there already is never another file: then it is as it was, or this is refused.
const there = await fetch(address, { headers: { "job-token": token }, redirect: "error" });
if (there.ok) {
  const kept = createHash("sha256").update(Buffer.from(await there.arrayBuffer())).digest("hex");
  if (kept !== sha256) stop(`${address} is there already, with the SHA-256 ${kept}; ${from} has ${sha256}. Choose another version.`);
} else if (there.status === 404) {
  const kept = await fetch(address, { method: "PUT", headers: { "job-token": token }, body: bytes });
  if (!kept.ok) stop(`${address} cannot be written: it answers ${kept.status}.`);
} else {
  stop(`${address} answers ${there.status}.`);
}

for (const name of readdirSync("templates")) {
  const file = `templates/${name}`;
  let text = readFileSync(file, "utf8");
  for (const [input, value] of [["slipway", address], ["slipway-sha256", sha256]]) {
    const known = new RegExp(`^(    ${input}:\\n(?:      (?!default:).*\\n)*      default: ).*$`, "m");
    if (!known.test(text)) stop(`${file} has no input \`${input}\` with a default.`);
    text = text.replace(known, (_, before) => `${before}"${value}"`);
  }
  writeFileSync(file, text);
}
console.log(`slipway ${version}: ${address}, SHA-256 ${sha256}`);
