//! A Worker that does nothing but the verified copy, of a package's bytes or of an image: what `cargo xtask bench` measures
//! and the copy's tests drive.
//!
//! One order comes in as JSON, and how the copy ended goes out as JSON. It is never deployed.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod image;

use std::time::Duration;

use js_sys::{Date, Function};
use serde::Deserialize;
use serde_json::{Value, json};
use slipway_core::time::Timestamp;
use slipway_relay::Limits;
use slipway_wire::{Digest, Patience, RelayError, Relayed, Transfer};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};
use web_sys::AbortSignal;

#[derive(Deserialize)]
struct Order {
    source: String,
    url: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    suffix: String,
    size: u64,
    digest: Digest,
    /// From now on.
    until_ms: Option<u64>,
    skip: Option<u64>,
    silence_ms: Option<u64>,
    warm_up_ms: Option<u64>,
    stretch_ms: Option<u64>,
    window_ms: Option<u64>,
    warm_up_bytes: Option<u64>,
}

/// Runs one order; `told` hears of its progress.
#[wasm_bindgen]
pub async fn relay(order: &str, cancel: Option<AbortSignal>, told: &Function) -> Result<String, JsError> {
    let order: Order = serde_json::from_str(order)?;
    let transfer = Transfer {
        source: http::Request::get(&order.source).body(())?,
        upload: http::Request::put(&order.url).header("content-type", "application/octet-stream").body(())?,
        prefix: order.prefix.into_bytes(),
        suffix: order.suffix.into_bytes(),
        size: order.size,
        skip: order.skip.unwrap_or(0),
        digest: order.digest,
    };
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds since 1970, whole and far below 2^53")]
    let now = Timestamp(Date::now() as i64);
    let mut limits = Limits::until(order.until_ms.map(|left| now + Duration::from_millis(left)));
    let set = |limit: &mut Duration, ms: Option<u64>| {
        if let Some(ms) = ms {
            *limit = Duration::from_millis(ms);
        }
    };
    let Patience { warm_up, stretch, window, warm_up_bytes } = &mut limits.patience;
    set(warm_up, order.warm_up_ms);
    set(stretch, order.stretch_ms);
    set(window, order.window_ms);
    *warm_up_bytes = order.warm_up_bytes.unwrap_or(*warm_up_bytes);
    set(&mut limits.silence, order.silence_ms);

    let progress = |bytes: u64| {
        #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes, 8 PiB")]
        // What a listener throws is its own concern.
        let _ = told.call1(&JsValue::UNDEFINED, &(bytes as f64).into());
    };
    let ended = slipway_relay::relay(&transfer, &limits, cancel.as_ref(), progress).await;
    Ok(in_json(ended).to_string())
}

/// Copies one image; a failure is thrown.
#[wasm_bindgen]
pub async fn image(order: &str) -> Result<(), JsError> {
    let order = serde_json::from_str(order)?;
    image::copy(&order).await.map_err(|error| JsError::new(&format!("{error:#}")))
}

fn in_json(ended: Result<Relayed, RelayError>) -> Value {
    let answered = |end: &str, answer: slipway_wire::Response| {
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        json!({"end": end, "status": answer.status().as_u16(), "body": body})
    };
    match ended {
        Ok(Relayed::Answered(answer)) => answered("answered", answer),
        Ok(Relayed::AnsweredEarly(answer)) => answered("answered early", answer),
        Ok(Relayed::Withheld { found, size }) => json!({"end": "withheld", "found": found, "size": size}),
        Err(RelayError::Source(status)) => json!({"end": "source", "status": status.as_u16()}),
        Err(RelayError::Broken(why)) => json!({"end": "broken", "host": why.host, "why": why.why}),
        Err(RelayError::TooSlow(why)) => json!({
            "end": "too slow",
            "bytes": why.bytes,
            "rate_bytes_per_second": why.rate_bytes_per_second,
            "needed_seconds": why.needed_seconds,
            "left_seconds": why.left_seconds,
        }),
    }
}
