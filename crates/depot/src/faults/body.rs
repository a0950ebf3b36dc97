//! Faults in the bytes of an answer.

use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};

use super::Effect;
use super::arrival::at_rate;
use crate::depot::Depot;
use crate::files;

/// What is sent where nothing is left to send.
const FILLER: &[u8] = &[b' '; 16 << 10];
/// A throttled answer goes out in so many pieces a second.
const PIECES_PER_SECOND: u64 = 20;
/// Before a connection is cut, what was sent gets this long to leave.
const LAST_BYTES_LEAVE: Duration = Duration::from_millis(50);

pub(super) async fn changed(depot: &Depot, headers: &HeaderMap, response: Response, met: &[Effect]) -> Response {
    let mut response = response;
    let mut sending = Sending::default();
    let mut changes = false;
    for effect in met {
        match effect {
            Effect::Swap { filename } => {
                if let Some(other) = other_package(depot, headers, filename).await {
                    response = other;
                }
            }
            Effect::Cut { after_bytes } => sending.cut_at = Some(*after_bytes),
            Effect::FlipBit { at } => sending.flips.push(*at),
            Effect::Append { bytes } => sending.tail += *bytes,
            Effect::Chunked => sending.is_chunked = true,
            Effect::Endless => sending.is_endless = true,
            Effect::Throttle { bytes_per_second } => sending.bytes_per_second = Some(*bytes_per_second),
            _ => continue,
        }
        changes = true;
    }
    if !changes {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match announced.or(body.size_hint().exact()) {
        Some(length) if !sending.is_chunked && !sending.is_endless => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length + sending.tail));
        }
        _ => drop(parts.headers.remove(CONTENT_LENGTH)),
    }
    sending.body = Some(body.into_data_stream());
    Response::from_parts(parts, Body::from_stream(stream::try_unfold(sending, Sending::next)))
}

async fn other_package(depot: &Depot, headers: &HeaderMap, filename: &str) -> Option<Response> {
    let sha256 = {
        let state = depot.store.state();
        let mut all = state.packages.values();
        all.find(|held| held.package.filename == filename)?.package.sums.sha256.clone()
    };
    files::answer(headers, &depot.store.file(&sha256), None).await.ok()
}

#[derive(Default)]
struct Sending {
    body: Option<BodyDataStream>,
    /// What was read, and is still to be sent.
    waiting: Bytes,
    sent: u64,
    cut_at: Option<u64>,
    flips: Vec<u64>,
    /// Bytes after the end.
    tail: u64,
    is_chunked: bool,
    is_endless: bool,
    bytes_per_second: Option<u64>,
}

impl Sending {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, axum::Error> {
        let left = self.cut_at.map(|cut_at| cut_at - self.sent);
        if left == Some(0) {
            tokio::time::sleep(LAST_BYTES_LEAVE).await;
            return Err(axum::Error::new(io::Error::other("the connection is cut here, as ordered")));
        }
        if self.waiting.is_empty() {
            let next = match &mut self.body {
                Some(body) => body.next().await.transpose()?,
                None => None,
            };
            self.waiting = match next {
                Some(bytes) => bytes,
                None if self.tail > 0 => {
                    self.body = None;
                    let length = usize::try_from(self.tail).unwrap_or(usize::MAX).min(FILLER.len());
                    self.tail -= length as u64;
                    Bytes::from_static(&FILLER[..length])
                }
                None if self.is_endless => {
                    self.body = None;
                    Bytes::from_static(FILLER)
                }
                // Also what should be cut after more bytes than there are.
                None => return Ok(None),
            };
        }
        let piece = self.bytes_per_second.map(|rate| (rate / PIECES_PER_SECOND).max(1));
        let most = [left, piece].into_iter().flatten().min().unwrap_or(u64::MAX);
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.waiting.len());
        let mut piece = self.waiting.split_to(length);
        let range = self.sent..self.sent + length as u64;
        let flips: Vec<u64> = self.flips.iter().filter(|at| range.contains(at)).map(|at| at - self.sent).collect();
        if !flips.is_empty() {
            let mut changed = piece.to_vec();
            for at in flips {
                if let Some(byte) = usize::try_from(at).ok().and_then(|at| changed.get_mut(at)) {
                    *byte ^= 1;
                }
            }
            piece = changed.into();
        }
        if let Some(rate) = self.bytes_per_second {
            tokio::time::sleep(at_rate(length as u64, rate)).await;
        }
        self.sent += length as u64;
        Ok(Some((piece, self)))
    }
}
