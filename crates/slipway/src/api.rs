//! The part of the edge's API that concerns people, holds and gates.

use serde::{Deserialize, Serialize};
use slipway_core::release::Key;

/// `GET /api/v1/sign-in`: where people sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SignIn {
    /// The address of GitLab.
    pub(crate) gitlab: String,
    /// The id of Slipway's OAuth application there.
    pub(crate) application: String,
}

/// `POST /api/v1/sessions` for a person.
#[derive(Serialize)]
pub(crate) struct AccessToken {
    pub(crate) access_token: String,
}

/// What a person gets for it.
#[derive(Deserialize)]
pub(crate) struct PersonSession {
    pub(crate) session: String,
}

/// `POST …/holds` and `DELETE …/holds`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HoldRequest {
    /// `None` for the whole release.
    pub(crate) keys: Option<Vec<Key>>,
    pub(crate) reason: String,
}

/// `POST …/close`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CloseRequest {
    pub(crate) reason: String,
}

/// `POST …/overrides`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OverrideRequest {
    pub(crate) keys: Option<Vec<Key>>,
    pub(crate) gates: Vec<String>,
    pub(crate) reason: String,
}

/// `POST …/promotions`.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PromotionRequest {
    Keys { keys: Vec<Key> },
    All { all: bool },
}

/// What was accepted, and what not.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PromotionAccepted {
    pub(crate) keys: Vec<Key>,
    #[serde(default)]
    pub(crate) refused: Vec<RefusedKey>,
}

/// A package that is not released, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefusedKey {
    pub(crate) key: Key,
    pub(crate) kind: String,
    pub(crate) why: String,
}
