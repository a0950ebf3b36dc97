#!/usr/bin/env node
// Starts the `slipway` command: `../lib/slipway.js` is generated from the crate, beside its wasm.
import { run } from "../lib/slipway.js";

process.exitCode = await run(process.argv.slice(2));
