//! A release's page as a module for Node, to be measured: V8 runs it as it does at the edge.

use slipway_core::api::Release;
use slipway_view::filter::Filter;
use slipway_view::page::{self, Reader};
use wasm_bindgen::prelude::wasm_bindgen;

/// The page of a release that comes as JSON, as it does from the object that keeps it.
#[wasm_bindgen]
pub fn page(json: &str) -> Result<String, String> {
    let release: Release = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let reader = Reader { name: Some("mira"), assets: "3f9a1c20e55d", ..Reader::default() };
    Ok(page::release(&release, &page::Beside::default(), &Filter::default(), &reader).into_string())
}
