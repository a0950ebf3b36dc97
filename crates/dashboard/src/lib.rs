//! The browser host: keeps the page of a release live.
//!
//! The edge's HTML *is* the page; nothing is hydrated and no copy of the release is kept. A live message is rendered by
//! the functions that the edge used, and each part whose mark differs replaces its element. `connection` decides when
//! to connect, ask and give up, without touching the browser; `app` does what it says.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
// Read by the browser alone; natively, only their tests run.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "the modules' caller is the browser"))]

mod announce;
mod app;
mod connection;
mod document;
mod read;

/// The releases that people look at without a server.
#[cfg(test)]
#[path = "../../slipway-view/examples/page/release.rs"]
mod examples;

/// Takes over the page, when it is a release's.
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    app::begin();
}
