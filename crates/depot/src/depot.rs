//! What every listener shares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::{Presented, Viewer};
use crate::distributions::Ids;
use crate::drills::Drills;
use crate::query::Query;
use crate::store::Store;

pub(crate) struct Depot {
    pub(crate) store: Store,
    pub(crate) ids: Mutex<Ids>,
    /// Where clients find the API and the repositories, without a slash at the end.
    pub(crate) url: String,
    /// Where downloads are sent, without a slash at the end.
    pub(crate) storage_url: String,
    pub(crate) link_seconds: AtomicU64,
    pub(crate) drills: Drills,
}

impl Depot {
    pub(crate) fn viewer(&self, presented: Option<&Presented>) -> Viewer {
        self.store.state().accounts.viewer(presented, &self.store.secret)
    }

    pub(crate) fn ids(&self) -> Ids {
        *self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn link_seconds(&self) -> u64 {
        self.link_seconds.load(Ordering::Relaxed)
    }
}

/// The token that a request shows: HTTP basic with the token as user, or `?read_token=`.
pub(crate) fn presented(headers: &HeaderMap, query: &Query) -> Option<Presented> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return query.get("read_token").map(|token| Presented(token.to_owned()));
    };
    let user = header.to_str().ok().and_then(|header| {
        let (scheme, pair) = header.split_once(' ')?;
        let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(pair.trim()).ok())??;
        Some(String::from_utf8(pair).ok()?.split(':').next()?.to_owned())
    });
    // A header that says nothing is a wrong credential, not a missing one.
    Some(Presented(user.unwrap_or_default()))
}
