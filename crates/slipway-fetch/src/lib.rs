//! The `Http` adapter of the wasm hosts: the global `fetch` of workerd, browsers and Node.
