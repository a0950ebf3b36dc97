// Which build of the dashboard's files lies beside this Worker, handed over before its wasm starts. `cargo xtask build`
// writes it; empty where the Worker was built without them, and then pages name files that browsers ask for again.
globalThis.SLIPWAY_ASSETS = "";
