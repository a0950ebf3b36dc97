//! The switches that stop a project: its own, and that of the whole deployment, of which the directory tells.

use slipway_core::stop::{Stopped, Word};

use super::ProjectRecord;
use crate::answer::{Answer, Problem, json};
use crate::clock;
use crate::message::{self, ToDirectory, Turned, ask};

impl ProjectRecord {
    /// A record that was never told how the deployment's switch stands asks: it may have been made while everything was
    /// stopped. Until it has an answer, nothing begins.
    pub(super) async fn hear_first(&self) -> std::result::Result<(), Problem> {
        if self.record()?.has_heard()? {
            return Ok(());
        }
        let turned: Turned = ask(message::directory(&self.env), &ToDirectory::Word)
            .await
            .map_err(|silent| Problem::from(worker::Error::RustError(silent.to_string())))?;
        self.record()?.hear(&turned.word, clock::now())?;
        Ok(())
    }

    pub(super) async fn hear(&self, project_id: u64, word: &Word) -> Answer {
        self.know_id(project_id)?;
        if self.record()?.hear(word, clock::now())? {
            self.switched(project_id).await?;
        }
        json(200, &())
    }

    pub(super) async fn switch(&self, project_id: u64, is_stopped: bool, by: &str, reason: &str) -> Answer {
        self.know_id(project_id)?;
        if !is_stopped {
            self.may_start()?;
        }
        let (record, now) = (self.record()?, clock::now());
        let is_news = if is_stopped { record.stop(by, reason, now)? } else { record.start(by, reason, now)? };
        if is_news {
            self.switched(project_id).await?;
        }
        json(200, &self.record()?.stopped()?.as_ref().map(Stopped::shown))
    }

    /// Everybody who follows a release sees it, and what waits is looked at.
    async fn switched(&self, project_id: u64) -> std::result::Result<(), Problem> {
        for version in self.record()?.versions()? {
            self.announce(project_id, &version);
        }
        Ok(self.soon().await?)
    }
}
