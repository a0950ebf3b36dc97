//! The part of the edge's API by which people sign in.

use serde::{Deserialize, Serialize};

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
