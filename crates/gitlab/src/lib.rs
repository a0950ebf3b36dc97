//! GitLab: what its webhooks and ID tokens say, and the endpoints that check it.
//!
//! A webhook is a hint: [`SigningToken`] says who sent it, [`webhook`] reads it, and the caller asks [`GetJob`] before it
//! acts. An ID token is a proof, once its signature is checked: [`id_token`] reads it, hands out its claims only after
//! that, and says by [`check`] whether they are for this caller. The signature itself is checked by the host, which has
//! the cryptography.
//!
//! Two things are written to GitLab: the status of a commit, and the start of a pipeline that waits for a release.
//!
//! Absent on purpose: a clock (the time is an argument), the webhook's secret token (a header, compared by the host), and
//! playing jobs, which is for people.
//!
//! [`check`]: id_token::check
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod answer;
mod commit_status;
mod deployments;
mod discovery;
pub mod id_token;
mod instance;
mod jobs;
mod jwks;
mod keys;
mod level;
mod member;
mod oauth;
mod own_token;
mod person_token;
mod pipeline;
mod pipeline_jobs;
mod protected_environment;
mod signing;
mod status;
mod trigger;
pub mod webhook;

#[cfg(test)]
mod testing;

pub use commit_status::{CommitState, SetCommitStatus};
pub use deployments::{
    Deployable, DeployablePipeline, Deployment, DeploysTo, Environment, GetDeployment, ListDeployments,
};
pub use discovery::{Discover, KeysUrl};
pub use instance::Instance;
pub use jobs::{GetJob, Job, JobPipeline, User};
pub use jwks::{InvalidJwks, Jwks, RsaKey};
pub use keys::GetKeys;
pub use level::AccessLevel;
pub use member::{GetMember, role};
pub use oauth::{AuthorizeUrl, ExchangeCode, Exchanged, GetTokenInfo, GetUser, GetUserInfo, RevokeToken, TokenInfo};
pub use own_token::{GetOwnToken, OwnToken};
pub use person_token::{ExpectedPerson, PersonClaims, PersonRefusal, UnverifiedPersonToken, check_person};
pub use pipeline::{GetPipeline, Pipeline};
pub use pipeline_jobs::{ListedJob, pipeline_jobs, played_jobs};
pub use protected_environment::{GetProtectedEnvironment, is_protected};
pub use signing::{InvalidSigningToken, NotSigned, Signed, SigningToken};
pub use status::JobStatus;
pub use trigger::{TriggerPipeline, Triggered};
