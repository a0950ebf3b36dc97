//! One copy of an image by one client, or the registry that such a copy goes to: what `cargo xtask bench image` starts and
//! measures, a process for each copy.
//!
//! An order is JSON: which registries, which image, under which tag. All clients are to do the same: look whether it is done,
//! bring what is missing, the tag last.

#[cfg(feature = "oci-client")]
mod other;
mod ours;

use std::io::Write as _;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use slipway_registry::{Manner, Quirk, Registry};
use slipway_wire::Digest;

/// What is to be copied.
#[derive(Deserialize)]
pub(crate) struct Order {
    /// The registry, without a path.
    source: String,
    from: String,
    target: String,
    to: String,
    digest: Digest,
    tag: String,
    /// A file for the addresses of uploads, so that a later process goes on with them.
    remember: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().context("the first argument says what to do")?;
    let mut order = || -> anyhow::Result<Order> {
        let text = arguments.next().context("the second argument is an order")?;
        serde_json::from_str(&text).context("cannot read the order")
    };
    match what.as_str() {
        // What is asked of each is on one thread in Slipway's hosts.
        "ours" => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ours::copy(&order()?)),
        #[cfg(feature = "oci-client")]
        "oci-client" => tokio::runtime::Runtime::new()?.block_on(other::copy(&order()?)),
        "registry" => tokio::runtime::Runtime::new()?.block_on(serve()),
        other => bail!("there is no `{other}`"),
    }
}

/// A registry that goes on with uploads whose connection broke, which Debian's does not. It runs until it is ended, and names
/// no host in its addresses, since a wire is in front of it.
async fn serve() -> anyhow::Result<()> {
    let registry = Registry::start(Manner::with([Quirk::RelativeLocations])).await?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", serde_json::json!({ "url": registry.url() }))?;
    output.flush()?;
    std::future::pending().await
}
