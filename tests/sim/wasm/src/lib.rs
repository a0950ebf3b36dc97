//! The simulation as a module for Node: what the edge is compiled to, in the same worlds as native code.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Without it, a panic is a trap that does not say where.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}

/// What came of a seed, in a line.
#[wasm_bindgen]
pub fn fingerprint(seed: u32) -> String {
    slipway_sim::fingerprint::of(u64::from(seed))
}
