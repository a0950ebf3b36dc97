//! Whether a token's claims are for this caller, now.

use super::claims::Claims;

/// How far the clocks of GitLab and of the host may differ, in seconds.
pub const LEEWAY_S: u64 = 60;

/// How old a token may be, in seconds. GitLab makes it when the job starts, and exchanging it is the job's first act;
/// its own end can be many hours off.
pub const AGE_S_MAX: u64 = 300;

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The configured GitLab: `https://gitlab.example.com`, without a slash at the end.
    pub issuer: &'a str,
    /// What the tokens must be made for.
    pub audience: &'a str,
    /// The configured project.
    pub project_id: u64,
    /// The group or user that the project was configured in. A path that changed hands has another one.
    pub namespace_id: u64,
}

/// Why a token whose signature holds is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Made by another GitLab.
    #[error("the ID token was made by `{0}`, not by the configured GitLab")]
    Issuer(String),
    /// Made for another service.
    #[error("the ID token is for `{0}`; set the `aud` of the job's `id_tokens` to this service's audience")]
    Audience(String),
    /// Its time is over.
    #[error("the ID token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the ID token is not valid yet; compare the clocks of GitLab and of this service")]
    NotYetValid,
    /// Made in the future.
    #[error("the ID token was made in the future; compare the clocks of GitLab and of this service")]
    FromTheFuture,
    /// Not fresh.
    #[error("the ID token is {age_s} seconds old, and only {AGE_S_MAX} are allowed; exchange it first in the job")]
    TooOld {
        /// Its age.
        age_s: u64,
    },
    /// Another project's.
    #[error("the ID token is project {0}'s, not the one that it was used for")]
    Project(u64),
    /// The project is in another group or user's space than when it was configured.
    #[error(
        "the ID token's project is in namespace {0}, not in the configured one; after a transfer, configure it anew"
    )]
    Namespace(u64),
    /// The job runs in another project.
    #[error("the ID token's job runs in project {0}, not in the project that it speaks for")]
    JobProject(u64),
    /// The job runs in another namespace.
    #[error("the ID token's job runs in namespace {0}, not in that of the project that it speaks for")]
    JobNamespace(u64),
    /// Anybody who may push could have made the job.
    #[error("the job runs for `{0}`, which is not a protected branch or tag")]
    RefNotProtected(String),
    /// Jobs of merge requests run what has not been accepted yet.
    #[error("the job belongs to a merge request's pipeline")]
    MergeRequest,
}

/// Checks the claims of a token whose signature holds. `now_s` is the time in seconds since 1970.
pub fn check(claims: &Claims, expected: &Expected<'_>, now_s: u64) -> Result<(), Refusal> {
    if claims.iss != expected.issuer {
        return Err(Refusal::Issuer(claims.iss.clone()));
    }
    if claims.aud != expected.audience {
        return Err(Refusal::Audience(claims.aud.clone()));
    }
    if now_s >= claims.exp.saturating_add(LEEWAY_S) {
        return Err(Refusal::Expired);
    }
    let soon = now_s.saturating_add(LEEWAY_S);
    if claims.nbf.is_some_and(|nbf| nbf > soon) {
        return Err(Refusal::NotYetValid);
    }
    if claims.iat > soon {
        return Err(Refusal::FromTheFuture);
    }
    let age_s = now_s.saturating_sub(claims.iat);
    if age_s > AGE_S_MAX {
        return Err(Refusal::TooOld { age_s });
    }
    if claims.project_id != expected.project_id {
        return Err(Refusal::Project(claims.project_id));
    }
    if claims.namespace_id != expected.namespace_id {
        return Err(Refusal::Namespace(claims.namespace_id));
    }
    if let Some(other) = claims.job_project_id.filter(|id| *id != expected.project_id) {
        return Err(Refusal::JobProject(other));
    }
    if let Some(other) = claims.job_namespace_id.filter(|id| *id != expected.namespace_id) {
        return Err(Refusal::JobNamespace(other));
    }
    if !claims.ref_protected {
        return Err(Refusal::RefNotProtected(claims.ref_name.clone()));
    }
    if claims.pipeline_source == "merge_request_event" || has_config_of_a_merge_request(claims) {
        return Err(Refusal::MergeRequest);
    }
    Ok(())
}

/// A child of a merge request's pipeline says `parent_pipeline`. Its configuration is told at a commit then, where that of
/// any other is told at a branch or tag: `…//.gitlab-ci.yml@refs/tags/v1.2`.
fn has_config_of_a_merge_request(claims: &Claims) -> bool {
    let at = claims.ci_config_ref_uri.as_deref().and_then(|uri| uri.rsplit_once('@')).map(|(_, at)| at);
    at.is_some_and(|at| matches!(at.len(), 40 | 64) && at.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
