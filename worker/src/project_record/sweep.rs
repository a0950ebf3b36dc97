//! What the accounts' sweeps ask of a record, and tell it.

use slipway_core::sweep::Swept;
use slipway_edge::sweep::Told;

use super::ProjectRecord;
use crate::answer::{Answer, json};
use crate::{clock, settings};

impl ProjectRecord {
    /// Holds a page of a repository against the record.
    pub(super) fn swept(&self, project_id: u64, page: &Swept) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let floating = config.image_rules(&page.site).floating;
        let floats = |tag: &str| tag.parse().is_ok_and(|tag| floating.iter().any(|rule| rule.could_be(&tag)));
        let (known, changed) = self.record()?.swept(page, floats, clock::now())?;
        for version in &changed {
            self.announce(project_id, version);
        }
        json(200, &known)
    }

    /// Writes down what came of a sweep.
    pub(super) async fn sweep_told(&self, project_id: u64, told: Told) -> Answer {
        self.know_id(project_id)?;
        let record = self.record()?;
        let now = clock::now();
        match told {
            Told::Strangers { site, found } => record.found_strangers(&site, &found, now)?,
            Told::Adopted { site, actor, details } => record.adopted(&site, &actor, &details, now)?,
            Told::Recalled { site, actor, details } => record.recalled(&site, &actor, &details, now)?,
            Told::Outside { version, key, under, digest } => {
                if record.published_outside(&version, &key, &under, &digest, now)? {
                    self.announce(project_id, &version);
                }
            }
        }
        // Others may have to be told.
        self.soon().await?;
        json(200, &())
    }
}
