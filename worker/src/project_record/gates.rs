//! Releasing, and what stands in its way: promotions, holds, overrides, deployments, the end of a release.
//!
//! What may be is judged in `slipway-edge`; here it is asked for, and the alarm armed for what comes of it.

use slipway_core::api::PromotionAccepted;
use slipway_core::config::Config;
use slipway_core::promotion::May;
use slipway_core::release::{Key, Version};
use slipway_core::secret::JobSession;
use slipway_edge::changes::{self, By, Change};
use slipway_edge::{gates, job_call, withdraw};
use slipway_gitlab::Instance;
use slipway_ledger::{Ask, PublicName};

use super::ProjectRecord;
use crate::answer::{Answer, Problem, json};
use crate::settings;

impl ProjectRecord {
    pub(super) async fn promote(&self, session: &JobSession, version: &Version, keys: Vec<Key>, all: bool) -> Answer {
        self.know_id(session.project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, session.project_id)?;
        let gitlab = self.gitlab(&config);
        let asked = job_call::Call { session, version, keys: &keys, all };
        let promoted = job_call::promote(self.record()?, &self.host(), &config, project, gitlab.as_ref(), &asked).await;
        // Something can be approved though the answer is a problem.
        self.soon().await?;
        let job_call::Accepted { keys, refused } = promoted?;
        let follow =
            config.edge.url.url(["api", "v1", "projects", project.name.as_str(), "releases", version.as_str()]);
        json(202, &PromotionAccepted { keys, refused, follow })
    }

    pub(super) fn gitlab(&self, config: &Config) -> Option<Instance> {
        let token = settings::secret(&self.env, &config.gitlab.token).ok()?;
        Some(Instance::new(config.gitlab.url.clone(), token))
    }

    /// Whether one of the names that another project is about to release is taken here. What an imported record knows may be old
    /// or forged, so until it is started it says nothing, and nobody is told that a name is free.
    pub(super) fn name_taken(&self, project_id: u64, names: &[PublicName]) -> Answer {
        self.know_id(project_id)?;
        self.has_started()?;
        json(200, &self.record()?.name_taken(names)?)
    }

    /// Whether a package's object may begin an act now.
    pub(super) async fn may_act(&self, ask: &Ask) -> std::result::Result<May, Problem> {
        self.know_id(ask.project_id)?;
        let config = settings::config()?;
        let gitlab = self.gitlab(&config);
        Ok(gates::may_act(self.record()?, &self.host(), &config, gitlab.as_ref(), ask).await?)
    }

    /// Whether an act that is under way may write something more.
    pub(super) fn may_end(&self, project_id: u64, version: &Version, key: &Key) -> Answer {
        self.know_id(project_id)?;
        json(200, &self.record()?.may_end(version, key)?)
    }

    /// Whether something may be taken back now.
    pub(super) fn may_withdraw(&self, project_id: u64, number: u64) -> Answer {
        self.know_id(project_id)?;
        json(200, &self.record()?.may_withdraw(number)?)
    }

    pub(super) async fn change(&self, project_id: u64, version: &Version, by: &By, change: Change) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        changes::change(self.record()?, &self.host(), &config, project, version, by, &change)?;
        if let Change::Deployed { .. } = change {
            return Ok(worker::Response::empty()?.with_status(204));
        }
        self.soon().await?;
        self.release(project_id, version)
    }

    /// Takes back what is public, or says what that would be.
    pub(super) async fn withdraw(&self, project_id: u64, version: &Version, call: &withdraw::Call) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let answer = withdraw::ask(self.record()?, &self.host(), &config, project, version, call).await?;
        if call.request.dry_run {
            return json(200, &answer);
        }
        self.soon().await?;
        json(202, &answer)
    }
}
