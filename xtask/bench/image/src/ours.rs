//! The engine over native sockets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use slipway_bench_engine::Order;
use slipway_native::Native;
use slipway_oci::{Location, Registry, Uploads};
use slipway_wire::{Digest, Token};

/// `remember`: a file for the addresses of uploads, so that a later process goes on with them.
pub(crate) async fn copy(order: &Order, remember: Option<&str>) -> anyhow::Result<()> {
    let (http, target) = (Native::new(Duration::ZERO), Registry::anonymous(order.target.parse()?));
    match remember {
        Some(file) => {
            let uploads = Remembered::read(file, &target)?;
            slipway_bench_engine::copy(&http, order, &target, &uploads).await
        }
        None => slipway_bench_engine::copy(&http, order, &target, &()).await,
    }
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
        let known = self.known.borrow().get(&blob.to_string())?.clone();
        self.registry.kept(&Token::new(known)).ok()
    }

    fn goes_on_at(&self, blob: &Digest, location: Option<&Location>) {
        let mut known = self.known.borrow_mut();
        match location {
            Some(location) => drop(known.insert(blob.to_string(), location.keep().expose().to_owned())),
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
