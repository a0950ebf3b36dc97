//! The switches that stop a project: its own, and that of the whole deployment, of which the directory tells.

use slipway_core::stop::{Stopped, Word};

use super::ProjectRecord;
use crate::answer::{Answer, Problem, json};
use crate::clock;
use crate::message::{self, ToDirectory, ask};

impl ProjectRecord {
    /// Asks how the deployment's switch stands, once in this object's life: what it wrote down can be from before it was restored, or
    /// the directory from before that was. Until it has an answer, nothing begins.
    pub(super) async fn hear_first(&self) -> std::result::Result<(), Problem> {
        if self.has_heard.get() {
            return Ok(());
        }
        let heard = self.record()?.heard()?;
        let word: Word = ask(message::directory(&self.env), &ToDirectory::Learn { heard }).await.map_err(|silent| {
            let what = format!("Whether Slipway is stopped is not known, so nothing begins: {silent}. Try again.");
            Problem::new(503, "switch-unknown", what)
        })?;
        self.record()?.hear(&word, clock::now())?;
        self.has_heard.set(true);
        Ok(())
    }

    pub(super) async fn hear(&self, project_id: u64, word: &Word) -> Answer {
        self.know_id(project_id)?;
        if self.record()?.hear(word, clock::now())? {
            self.switched(project_id).await?;
        }
        json(200, &self.record()?.heard()?)
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
