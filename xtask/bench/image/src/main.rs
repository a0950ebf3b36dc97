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
use slipway_bench_engine::Order;
use slipway_registry::{Manner, Quirk, Registry};

/// What is to be copied, and how.
#[derive(Deserialize)]
struct Asked {
    #[serde(flatten)]
    order: Order,
    /// A file for the addresses of uploads, so that a later process goes on with them.
    remember: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().context("the first argument says what to do")?;
    let mut asked = || -> anyhow::Result<Asked> {
        let text = arguments.next().context("the second argument is an order")?;
        serde_json::from_str(&text).context("cannot read the order")
    };
    match what.as_str() {
        // What is asked of each is on one thread in Slipway's hosts.
        "ours" => {
            let Asked { order, remember } = asked()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ours::copy(&order, remember.as_deref()))
        }
        #[cfg(feature = "oci-client")]
        "oci-client" => tokio::runtime::Runtime::new()?.block_on(other::copy(&asked()?.order)),
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
