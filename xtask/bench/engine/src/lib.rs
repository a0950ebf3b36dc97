//! One copy of an image in the order in which a promotion makes it, over whatever ports its host has: native sockets, or
//! workerd's `fetch` and streams. What `cargo xtask bench image` compares is so the same in both.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use anyhow::{Context as _, ensure};
use futures_util::future::try_join;
use serde::Deserialize;
use slipway_oci::{HeadManifest, Registry, Repository, Scope, Session, Shelf, Tag, Uploads, Which};
use slipway_wire::{Digest, Http, Relay};

/// What is to be copied.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    /// The registry that has it, without a path.
    pub source: String,
    /// Its repository there.
    pub from: String,
    /// The registry that is to have it.
    pub target: String,
    /// Its repository there.
    pub to: String,
    /// What it is.
    pub digest: Digest,
    /// What it is to be called.
    pub tag: String,
}

/// Looks whether it is done, brings what is missing, the tag last, and looks again.
pub async fn copy(
    http: &(impl Http + Relay),
    order: &Order,
    target: &Registry,
    uploads: &impl Uploads,
) -> anyhow::Result<()> {
    let source = Registry::anonymous(order.source.parse()?);
    let (from, to): (Repository, Repository) = (order.from.parse()?, order.to.parse()?);
    let (source, target) = (Session::new(&source), Session::new(target));
    let tag: Tag = order.tag.parse()?;
    let (by_tag, by_digest) = (Which::Tag(tag.clone()), Which::Digest(order.digest));
    let look = async |which: &Which| {
        let head = HeadManifest { registry: target.registry(), repository: &to, which };
        anyhow::Ok(target.call(http, &Scope::pull(&to), &head).await?)
    };
    let shows = |head: Option<slipway_oci::Head>| head.is_some_and(|head| head.digest == Some(order.digest));
    if shows(look(&by_tag).await?) && look(&by_digest).await?.is_some() {
        return Ok(());
    }
    let image = slipway_oci::read_image(&source, http, &Scope::pull(&from), &from, order.digest).await?;
    let shelf = Shelf { session: &target, repository: &to };
    let source = Shelf { session: &source, repository: &from };
    slipway_oci::copy(http, source, shelf, &image, uploads, &|_, _| ()).await?;
    slipway_oci::tag(http, shelf, image.manifest().context("an image has a manifest")?, &[tag]).await?;
    let (tagged, kept) = try_join(look(&by_tag), look(&by_digest)).await?;
    ensure!(shows(tagged) && kept.is_some(), "it is not read back");
    Ok(())
}
