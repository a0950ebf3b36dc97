//! Faults on the way in: latency, slow reading, too many at once, and what the work is to pretend.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use futures_util::{StreamExt as _, stream};

use super::{Effect, Instead, Point};
use crate::depot::Depot;
use crate::query::Query;
use crate::store::Arrival;

/// What the work is to pretend; it travels with the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pretence {
    /// Packages are as they were so many writes ago.
    pub(crate) writes_ago: usize,
    pub(crate) expired_link: bool,
    /// When a promotion arrives.
    pub(crate) arrival: Arrival,
    /// A list without end: what the page was called.
    pub(crate) endless_page: Option<EndlessPage>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct EndlessPage {
    pub(crate) number: u64,
    pub(crate) cyclic: bool,
}

impl Pretence {
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get().copied().unwrap_or_default()
    }
}

/// What comes of the way in.
#[derive(Default)]
pub(super) struct Arrived {
    /// Too many at once: whether the work is done all the same, and the answer.
    pub(super) busy: Option<(bool, Instead)>,
    pub(super) back: Duration,
}

pub(super) async fn arrive(depot: &Depot, point: Point, request: Request, served: usize) -> (Request, Arrived) {
    let path = request.uri().path().to_owned();
    let met = depot.drills.faults.met(point, (&path, None), false, |fault| match fault.effect {
        Effect::Delay { .. }
        | Effect::SlowRead { .. }
        | Effect::Stale { .. }
        | Effect::EndlessPages { .. }
        | Effect::ExpiredLink
        | Effect::HalfWay { .. } => true,
        // It is met by those who are too many, not by the others.
        Effect::Busy { above, .. } => served > above,
        _ => false,
    });
    let (mut request, mut arrived, mut pretence) = (request, Arrived::default(), Pretence::default());
    let mut late = Duration::ZERO;
    for effect in met {
        match effect {
            Effect::Delay { ms, back_ms } => {
                late += Duration::from_millis(ms);
                arrived.back += Duration::from_millis(back_ms);
            }
            Effect::SlowRead { bytes_per_second } => request = read_slowly(request, bytes_per_second),
            Effect::Busy { stored, instead, .. } => arrived.busy = Some((stored, instead)),
            Effect::Stale { writes } => pretence.writes_ago = writes,
            Effect::ExpiredLink => pretence.expired_link = true,
            Effect::HalfWay { ms } => pretence.arrival = ms.map_or(Arrival::WhenCleared, Arrival::AfterMs),
            Effect::EndlessPages { cyclic } => {
                let query = Query::parse(request.uri().query().unwrap_or_default());
                let number = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
                pretence.endless_page = Some(EndlessPage { number, cyclic });
            }
            _ => {}
        }
    }
    request.extensions_mut().insert(pretence);
    if !late.is_zero() {
        tokio::time::sleep(late).await;
    }
    (request, arrived)
}

/// A body that is read piece by piece; the sender feels it when the buffers between are full.
fn read_slowly(request: Request, bytes_per_second: u64) -> Request {
    request.map(|body| {
        let pieces = body.into_data_stream().then(move |piece| async move {
            if let Ok(piece) = &piece {
                tokio::time::sleep(at_rate(piece.len() as u64, bytes_per_second)).await;
            }
            piece
        });
        Body::from_stream(stream::StreamExt::boxed(pieces))
    })
}

/// How long so many bytes take.
pub(super) fn at_rate(bytes: u64, bytes_per_second: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / bytes_per_second.max(1))
}
