//! What a package depends on, by its package server's word.

use slipway_packagecloud::described;
use slipway_wire::{Digest, Http};

use super::Store;
use crate::api::Depends;
use crate::cargo::{Cargo, TargetName};
use crate::trouble::Trouble;

impl Store {
    /// What these bytes depend on. `None` where the server has them not, or says nothing of the kind: a registry never does.
    pub async fn depends(
        &self,
        http: &impl Http,
        target: &TargetName,
        cargo: &Cargo,
        digest: &Digest,
    ) -> Result<Option<Vec<Depends>>, Trouble> {
        let (Self::Packagecloud { account, repository, .. }, TargetName::Distro(distro), Some(filename)) =
            (self, target, cargo.file())
        else {
            return Ok(None);
        };
        let found = described(http, account, repository, distro, filename).await;
        let found = found.map_err(|error| {
            Trouble::of(&error, &format!("cannot ask {repository} what `{filename}` for {distro} depends on"))
        })?;
        // What other bytes under the name depend on says nothing of these.
        let own = found.filter(|package| package.sha256sum.as_ref() == Some(digest));
        Ok(own.map(|package| {
            let depends = package.dependencies.unwrap_or_default();
            depends.into_iter().map(|of| Depends { context: of.context, on: of.dependencies }).collect()
        }))
    }
}
