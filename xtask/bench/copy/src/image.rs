//! The engine over the ports of this host, for a whole image.

use std::time::Duration;

use slipway_bench_engine::Order;
use slipway_fetch::Fetch;
use slipway_oci::Registry;
use slipway_relay::Limits;
use slipway_wire::{Http, Relay, RelayError, Relayed, Request, Response, Transfer, Unreachable};

/// How long one small exchange may take.
const LIMIT: Duration = Duration::from_mins(1);

/// The ports as the edge has them, but for the way between its objects: everything runs in one invocation.
struct Ports(Fetch);

impl Http for Ports {
    async fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self.0.send(request).await
    }

    async fn read(&self, request: Request, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<Response, Unreachable> {
        self.0.read(request, each).await
    }
}

impl Relay for Ports {
    async fn relay(&self, transfer: Transfer) -> Result<Relayed, RelayError> {
        slipway_relay::relay(&transfer, &Limits::until(None), None, |_| ()).await
    }
}

pub(crate) async fn copy(order: &Order) -> anyhow::Result<()> {
    let target = Registry::anonymous(order.target.parse()?);
    slipway_bench_engine::copy(&Ports(Fetch::new(LIMIT)), order, &target, &()).await
}
