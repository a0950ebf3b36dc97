// The operator's `slipway.toml`, handed to the Worker before its wasm starts: the import of this module comes first.
import text from "./slipway.toml";

globalThis.SLIPWAY_CONFIG = text;
