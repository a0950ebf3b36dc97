//! The engine over native sockets, in the order in which a promotion uses it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use slipway_native::Native;
use slipway_oci::{HeadManifest, Location, Registry, Repository, Scope, Session, Shelf, Tag, Uploads, Which};
use slipway_wire::Digest;

use crate::Order;

pub(crate) async fn copy(order: &Order) -> anyhow::Result<()> {
    let http = Native::new(Duration::ZERO);
    let (source, target) = (Registry::anonymous(order.source.parse()?), Registry::anonymous(order.target.parse()?));
    let (from, to): (Repository, Repository) = (order.from.parse()?, order.to.parse()?);
    // Within one registry one session serves both, as in the edge.
    let (source, target) = (Session::new(&source), Session::new(&target));
    let tag: Tag = order.tag.parse()?;
    let (by_tag, by_digest) = (Which::Tag(tag.clone()), Which::Digest(order.digest));
    let look = async |which: &Which| {
        let head = HeadManifest { registry: target.registry(), repository: &to, which };
        target.call(&http, &Scope::pull(&to), &head).await
    };
    let is_released = async || {
        let found = look(&by_tag).await?;
        anyhow::Ok(found.is_some_and(|head| head.digest == Some(order.digest)) && look(&by_digest).await?.is_some())
    };
    if is_released().await? {
        return Ok(());
    }
    let image = slipway_oci::read_image(&source, &http, &Scope::pull(&from), &from, order.digest).await?;
    let shelf = Shelf { session: &target, repository: &to };
    let source = Shelf { session: &source, repository: &from };
    match &order.remember {
        Some(file) => {
            let uploads = Remembered::read(file, target.registry())?;
            slipway_oci::copy(&http, source, shelf, &image, &uploads, &|_, _| ()).await?;
        }
        None => drop(slipway_oci::copy(&http, source, shelf, &image, &(), &|_, _| ()).await?),
    }
    slipway_oci::tag(&http, shelf, image.manifest().context("an image has a manifest")?, &[tag]).await?;
    ensure!(is_released().await?, "it is not read back");
    Ok(())
}

/// The addresses of uploads in a file, as the edge keeps them in its ledger.
struct Remembered<'a> {
    file: &'a Path,
    registry: &'a Registry,
    known: RefCell<BTreeMap<String, String>>,
}

impl<'a> Remembered<'a> {
    fn read(file: &'a str, registry: &'a Registry) -> anyhow::Result<Self> {
        let known = match std::fs::read(file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(_) => BTreeMap::new(),
        };
        Ok(Self { file: Path::new(file), registry, known: RefCell::new(known) })
    }
}

impl Uploads for Remembered<'_> {
    fn broken_off(&self, blob: &Digest) -> Option<Location> {
        self.registry.kept(self.known.borrow().get(&blob.to_string())?.clone()).ok()
    }

    fn goes_on_at(&self, blob: &Digest, location: Option<&Location>) {
        let mut known = self.known.borrow_mut();
        match location {
            Some(location) => drop(known.insert(blob.to_string(), location.expose().to_owned())),
            None => drop(known.remove(&blob.to_string())),
        }
        // At once, since this process may be killed at any moment. What cannot be written is sent again.
        let draft = self.file.with_extension("draft");
        if let Ok(text) = serde_json::to_vec(&*known)
            && std::fs::write(&draft, text).is_ok()
        {
            let _ = std::fs::rename(&draft, self.file);
        }
    }
}
