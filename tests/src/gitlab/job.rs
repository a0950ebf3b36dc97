//! A job and its pipeline: their states, and what follows from them.

use serde::{Deserialize, Serialize};

use super::clock::Moment;

/// GitLab's statuses of a job, of which a pipeline uses the same words.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Created,
    WaitingForResource,
    Preparing,
    WaitingForCallback,
    Pending,
    Running,
    Success,
    Failed,
    Canceling,
    Canceled,
    Skipped,
    Manual,
    Scheduled,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::WaitingForResource => "waiting_for_resource",
            Self::Preparing => "preparing",
            Self::WaitingForCallback => "waiting_for_callback",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Canceling => "canceling",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
    }

    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Canceled)
    }

    /// Whether GitLab sends a Job Hook when a job enters this status. `manual`, `scheduled` and the other ways of
    /// waiting are silent.
    pub(super) fn is_announced(self) -> bool {
        matches!(self, Self::Created | Self::Pending | Self::Running) || self.is_final()
    }
}

/// One attempt of a job. A retry is another job with the same name.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) project_id: u64,
    pub(super) pipeline_id: u64,
    pub(super) name: String,
    pub(super) stage: String,
    pub(super) status: Status,
    /// Whom the job belongs to: the pipeline's creator, then whoever played it.
    pub(super) user_id: u64,
    /// `when: manual` in the pipeline's YAML; stays true after the job was played.
    pub(super) manual: bool,
    pub(super) allow_failure: bool,
    pub(super) environment: Option<Environment>,
    pub(super) created_at: Moment,
    pub(super) queued_at: Option<Moment>,
    pub(super) started_at: Option<Moment>,
    pub(super) finished_at: Option<Moment>,
    pub(super) failure_reason: Option<String>,
    /// Earlier attempts of this name in the pipeline.
    pub(super) retries_count: u64,
    /// Whether a later attempt replaced this one.
    pub(super) retried: bool,
    /// `CI_JOB_TOKEN`, valid while the job runs.
    pub(super) token: String,
}

impl Job {
    /// `job.playable?` of GitLab: waiting to be played, or a manual job that can be run again.
    pub(super) fn is_playable(&self) -> bool {
        self.manual && (matches!(self.status, Status::Manual | Status::Scheduled) || self.is_retryable())
    }

    pub(super) fn is_retryable(&self) -> bool {
        self.status.is_final() && !self.retried
    }
}

/// `environment:` of a job.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Environment {
    pub(super) name: String,
    #[serde(default = "Environment::start")]
    pub(super) action: String,
    /// GitLab guesses it from the name unless the YAML says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deployment_tier: Option<String>,
    /// Always false without Premium.
    #[serde(default)]
    pub(super) protected: bool,
}

impl Environment {
    pub(super) fn named(name: String) -> Self {
        Self { name, action: Self::start(), deployment_tier: None, protected: false }
    }

    fn start() -> String {
        "start".to_owned()
    }

    pub(super) fn tier(&self) -> &str {
        if let Some(tier) = &self.deployment_tier {
            return tier;
        }
        let name = self.name.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["dev", "review", "trunk"]) {
            "development"
        } else if has(&["test", "tst", "int", "acpt", "accept", "qa", "qc", "control", "quality"]) {
            "testing"
        } else if has(&["stg", "stag", "modl", "model", "pre", "demo", "non"]) {
            "staging"
        } else if has(&["prd", "prod", "live"]) {
            "production"
        } else {
            "other"
        }
    }

    /// Letters, digits, space and `-_/${}.`, at most 255, no slash at the ends: anything else fails the job when its
    /// pipeline is created.
    pub(super) fn is_valid(name: &str) -> bool {
        let allowed = |symbol: char| symbol.is_ascii_alphanumeric() || " -_/${}.".contains(symbol);
        !name.is_empty()
            && name.len() <= 255
            && name.chars().all(allowed)
            && !name.starts_with('/')
            && !name.ends_with('/')
    }
}

/// A pipeline; its status follows from its jobs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Pipeline {
    pub(super) id: u64,
    pub(super) iid: u64,
    pub(super) project_id: u64,
    /// The short name of a branch or tag.
    pub(super) r#ref: String,
    pub(super) tag: bool,
    /// Whether the branch or tag is protected.
    pub(super) protected: bool,
    pub(super) sha: String,
    pub(super) source: String,
    pub(super) user_id: u64,
    pub(super) created_at: Moment,
}

impl Pipeline {
    pub(super) fn ref_path(&self) -> String {
        format!("refs/{}/{}", if self.tag { "tags" } else { "heads" }, self.r#ref)
    }

    /// The status of a pipeline with these jobs (the newest attempt of each).
    pub(super) fn status<'a>(jobs: impl Iterator<Item = &'a Job>) -> Status {
        let jobs: Vec<&Job> = jobs.filter(|job| !job.retried).collect();
        let any = |status: Status| jobs.iter().any(|job| job.status == status);
        let counts = |status: Status| jobs.iter().any(|job| job.status == status && !job.allow_failure);
        let begun = jobs.iter().any(|job| job.status.is_final() || job.status == Status::Running);
        if any(Status::Running) || (any(Status::Pending) && begun) {
            Status::Running
        } else if any(Status::Pending) {
            Status::Pending
        } else if counts(Status::Manual) {
            Status::Manual
        } else if any(Status::Created) {
            if begun { Status::Running } else { Status::Created }
        } else if counts(Status::Failed) {
            Status::Failed
        } else if counts(Status::Canceled) {
            Status::Canceled
        } else if !jobs.is_empty() && jobs.iter().all(|job| matches!(job.status, Status::Skipped | Status::Manual)) {
            Status::Skipped
        } else {
            Status::Success
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_name_that_gitlab_refuses_is_not_valid() {
        for name in ["release/tug-noble-amd64", "a b", "${X}.y"] {
            assert!(Environment::is_valid(name), "{name}");
        }
        for name in ["", "/a", "a/", "tug_1.0+b~c", "a:b", &"x".repeat(256)] {
            assert!(!Environment::is_valid(name), "{name}");
        }
    }
}
