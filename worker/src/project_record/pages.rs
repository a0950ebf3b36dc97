//! What pages ask of a record, beside its releases.

use slipway_core::query::ActivityQuery;
use slipway_core::release::{Key, Version};
use slipway_edge::against;

use super::ProjectRecord;
use crate::answer::{Answer, Problem, json};
use crate::{clock, settings};

impl ProjectRecord {
    pub(super) fn glance(&self, project_id: u64, newest: u32) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        json(200, &self.record()?.glance(&config, project, newest, clock::now())?)
    }

    pub(super) fn deployments(&self, project_id: u64) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        json(200, &self.record()?.deployments(&config, project, clock::now())?)
    }

    pub(super) fn activity(&self, project_id: u64, query: &ActivityQuery, count: u64) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        json(200, &self.record()?.activity(project, query, count, clock::now())?)
    }

    pub(super) fn timeline(&self, project_id: u64, version: &Version, key: &Key) -> Answer {
        self.know_id(project_id)?;
        json(200, &self.record()?.timeline(version, key)?)
    }

    pub(super) async fn against(&self, project_id: u64, version: &Version, key: Option<&Key>) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        match against::against(self.record()?, &self.host(), project, version, key).await? {
            Some(against) => json(200, &against),
            None => Err(Problem::not_found("such release")),
        }
    }

    pub(super) fn standing(&self, project_id: u64) -> Answer {
        self.know_id(project_id)?;
        let config = settings::config()?;
        let project = settings::project(&config, project_id)?;
        let sockets = u64::try_from(self.state.get_websockets().len()).unwrap_or(u64::MAX);
        json(200, &self.record()?.standing(project, sockets)?)
    }
}
