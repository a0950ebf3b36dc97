//! The browser host: keeps pages as the edge would send them now.
//!
//! The edge's HTML *is* the page; nothing is hydrated. A release's page is kept live: what a message changes is rendered by
//! the functions that the edge used, and each part whose mark differs replaces its element. Every
//! other page is loaded again now and then, and its parts are replaced by the same rule, so that no view but the release's
//! is linked into this program. `connection`, `known`, `refresh` and `keys` decide, without touching the browser; `app`, `live`,
//! `panel` and `hand` do what they say.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
// Read by the browser alone; natively, only their tests run.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "the modules' caller is the browser"))]

mod announce;
mod app;
mod connection;
mod document;
mod hand;
mod host;
mod keys;
mod known;
mod live;
mod panel;
mod read;
mod refresh;

/// The releases that people look at without a server.
#[cfg(test)]
#[path = "../../slipway-view/examples/page/data.rs"]
#[allow(dead_code, reason = "some are for people alone")]
mod examples;

/// Takes over the page.
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    app::begin();
}
