//! What the runtime lends to every object alike: the time, chance, and small exchanges over the network.
//!
//! What else an object's port asks for stands beside the object.

use std::time::Duration;

use slipway_core::time::Timestamp;
use slipway_edge::port::Clock;
use slipway_fetch::Fetch;
use slipway_wire::{Http, Request, Response, Unreachable};
use worker::Delay;

use crate::clock;

/// When a killed alarm is taken up again. One that lives longer is not disturbed: alarms of an object do not overlap.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(20);

/// How long one small exchange with a package server may take. Its own proxies give up after 60 s.
pub(crate) const PLACE_LIMIT: Duration = Duration::from_mins(1);

/// The runtime, as an object borrows it.
pub(crate) struct Host<T> {
    /// The object, or what of it the port needs.
    pub(crate) object: T,
    fetch: Fetch,
}

impl<T> Host<T> {
    /// `exchange_limit`: how long one small exchange may take.
    pub(crate) fn new(object: T, exchange_limit: Duration) -> Self {
        Self { object, fetch: Fetch::new(exchange_limit) }
    }
}

impl<T> Clock for Host<T> {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn random(&self) -> [u8; 16] {
        clock::random().unwrap_or_default()
    }

    async fn pause(&self, wait: Duration) {
        Delay::from(wait).await;
    }
}

impl<T> Http for Host<T> {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.fetch.send(request).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.fetch.read(request, each).await
    }
}
