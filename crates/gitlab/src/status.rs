//! The status of a job.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a CI job is. GitLab's set has changed before, so a status that is not known is kept as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub enum JobStatus {
    /// In the pipeline; its turn has not come.
    Created,
    /// Played or due, while another job holds its resource group.
    WaitingForResource,
    /// Its prerequisites are being made.
    Preparing,
    /// Waits for an outside system.
    WaitingForCallback,
    /// Waits for a runner.
    Pending,
    /// At a runner.
    Running,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Being stopped.
    Canceling,
    /// Stopped.
    Canceled,
    /// Will not run in this pipeline.
    Skipped,
    /// Waits for a person to play it.
    Manual,
    /// Waits for its time.
    Scheduled,
    /// A status that this version does not know.
    Other(String),
}

impl JobStatus {
    /// Whether a manual job with this status has been played, and has not gone wrong since.
    ///
    /// GitLab has left out one or another of these events over the years, so any of them counts.
    pub fn is_played(&self) -> bool {
        matches!(self, Self::WaitingForResource | Self::Preparing | Self::Pending | Self::Running | Self::Success)
    }

    /// Whether the job has ended without success.
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Failed | Self::Canceling | Self::Canceled | Self::Skipped)
    }

    /// Whether the job has ended, however it did, or is being stopped.
    pub fn is_over(&self) -> bool {
        *self == Self::Success || self.has_failed()
    }

    /// The status in GitLab's words.
    pub fn as_str(&self) -> &str {
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
            Self::Other(text) => text,
        }
    }
}

impl From<String> for JobStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "created" => Self::Created,
            "waiting_for_resource" => Self::WaitingForResource,
            "preparing" => Self::Preparing,
            "waiting_for_callback" => Self::WaitingForCallback,
            "pending" => Self::Pending,
            "running" => Self::Running,
            "success" => Self::Success,
            "failed" => Self::Failed,
            "canceling" => Self::Canceling,
            "canceled" => Self::Canceled,
            "skipped" => Self::Skipped,
            "manual" => Self::Manual,
            "scheduled" => Self::Scheduled,
            _ => Self::Other(text),
        }
    }
}

impl From<JobStatus> for String {
    fn from(status: JobStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_keeps_its_text() {
        for text in [
            "created",
            "waiting_for_resource",
            "preparing",
            "waiting_for_callback",
            "pending",
            "running",
            "success",
            "failed",
            "canceling",
            "canceled",
            "skipped",
            "manual",
            "scheduled",
        ] {
            let status = JobStatus::from(text.to_owned());
            assert_eq!(status.to_string(), text);
            assert!(!matches!(status, JobStatus::Other(_)), "{text}");
        }
        assert_eq!(JobStatus::from("Pending".to_owned()), JobStatus::Other("Pending".to_owned()));
    }

    #[test]
    fn a_job_that_nobody_played_is_not_played() {
        for status in ["created", "manual", "scheduled", "skipped", "failed", "canceled", "canceling", "", "PENDING"] {
            assert!(!JobStatus::from(status.to_owned()).is_played(), "{status}");
        }
        for status in ["waiting_for_resource", "pending", "running", "success"] {
            assert!(JobStatus::from(status.to_owned()).is_played(), "{status}");
        }
    }
}
