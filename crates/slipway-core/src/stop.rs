//! The switch that stops everything: while Slipway is stopped it publishes nothing and deletes nothing.
//!
//! A stop is no gate: nobody overrides it, and it ends no approval. What was approved waits, and lapses as it always
//! does. It is lifted by an operator alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api;
use crate::time::Timestamp;

/// What is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every project of the deployment.
    Everything,
    /// One project, such as one whose record was imported and has not been compared yet.
    Project,
}

impl Scope {
    /// Its word in storage, in the API and in the audit.
    pub fn word(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Project => "project",
        }
    }
}

/// Who has stopped Slipway, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Why.
    pub why: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

impl Stopped {
    /// The beginning of a verdict.
    pub fn in_short(&self) -> String {
        format!("Slipway is stopped by {}: {}.", self.by, self.why.trim().trim_end_matches('.'))
    }

    /// As the API shows it.
    pub fn shown(&self) -> api::Stopped {
        api::Stopped { by: self.by.clone(), reason: self.why.clone(), at: self.at.to_string() }
    }
}

/// The sentence that a person reads: why nothing happens, and who can change that.
impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.why.trim().trim_end_matches('.');
        write!(
            f,
            "Slipway is stopped by {} since {}: {why}. Nothing is published or deleted until an operator starts it",
            self.by, self.at
        )
    }
}

/// The state of the switch that stops everything, as its one keeper tells it. A later word has a higher number: words can
/// overtake each other on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// How often the switch was turned until then.
    pub number: u64,
    /// Who has stopped everything. `None` while it runs.
    pub stopped: Option<Stopped>,
    /// Who turned the switch last.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}
