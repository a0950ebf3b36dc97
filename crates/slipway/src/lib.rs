//! The CI-job host: the `slipway` command, as wasm under Node.
