//! What an ID token says.

use serde_json::Value;

use super::compact::InvalidIdToken;
use super::members::Members;

/// The claims that Slipway reads, in GitLab's words. They can be had only of a token whose signature was checked.
///
/// People and projects are known by number: names and paths can change hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who made the token.
    pub iss: String,
    /// For whom. A token for several is refused.
    pub aud: String,
    /// When it ends, in seconds since 1970. That is hours after the job, so it says little.
    pub exp: u64,
    /// From when it holds.
    pub nbf: Option<u64>,
    /// When it was made.
    pub iat: u64,
    /// The token's own id.
    pub jti: String,
    /// The project; for a fork's merge request, the fork.
    pub project_id: u64,
    /// Its path, for people.
    pub project_path: String,
    /// The group or user that the project is in.
    pub namespace_id: u64,
    /// The project in which the job runs. GitLab 18.4 and newer.
    pub job_project_id: Option<u64>,
    /// The group or user which that is in. GitLab 18.4 and newer.
    pub job_namespace_id: Option<u64>,
    /// Who runs the job; for a manual job, who played it.
    pub user_id: u64,
    /// Their user name, for people.
    pub user_login: String,
    /// Their role in the project, in lower case.
    pub user_access_level: Option<String>,
    /// The pipeline.
    pub pipeline_id: u64,
    /// What began it: `push`, `web`, `parent_pipeline`…
    pub pipeline_source: String,
    /// The job.
    pub job_id: u64,
    /// Branch or tag.
    pub ref_name: String,
    /// `branch` or `tag`.
    pub ref_type: String,
    /// Whether the branch or tag is protected.
    pub ref_protected: bool,
    /// The commit. GitLab 16.0 and newer.
    pub sha: Option<String>,
    /// The name of the job's environment.
    pub environment: Option<String>,
    /// Whether that is protected. Always `false` on GitLab's free tier.
    pub environment_protected: Option<bool>,
    /// Where the pipeline's configuration comes from.
    pub ci_config_ref_uri: Option<String>,
}

impl Claims {
    /// Reads the claims. GitLab writes ids and booleans as text, and times as numbers.
    pub(super) fn read(members: &Members) -> Result<Self, InvalidIdToken> {
        Ok(Self {
            iss: required(members, "iss", text)?,
            aud: required(members, "aud", text)?,
            exp: required(members, "exp", time)?,
            nbf: optional(members, "nbf", time)?,
            iat: required(members, "iat", time)?,
            jti: required(members, "jti", text)?,
            project_id: required(members, "project_id", id)?,
            project_path: required(members, "project_path", text)?,
            namespace_id: required(members, "namespace_id", id)?,
            job_project_id: optional(members, "job_project_id", id)?,
            job_namespace_id: optional(members, "job_namespace_id", id)?,
            user_id: required(members, "user_id", id)?,
            user_login: required(members, "user_login", text)?,
            user_access_level: optional(members, "user_access_level", text)?,
            pipeline_id: required(members, "pipeline_id", id)?,
            pipeline_source: required(members, "pipeline_source", text)?,
            job_id: required(members, "job_id", id)?,
            ref_name: required(members, "ref", text)?,
            ref_type: required(members, "ref_type", text)?,
            ref_protected: required(members, "ref_protected", boolean)?,
            sha: optional(members, "sha", text)?,
            environment: optional(members, "environment", text)?,
            environment_protected: optional(members, "environment_protected", boolean)?,
            ci_config_ref_uri: optional(members, "ci_config_ref_uri", text)?,
        })
    }
}

/// How a claim is read: `Err` is what it should be.
pub(crate) type Reader<T> = fn(&Value) -> Result<T, &'static str>;

pub(crate) fn optional<T>(members: &Members, name: &'static str, read: Reader<T>) -> Result<Option<T>, InvalidIdToken> {
    let value = members.get(name).map(read).transpose();
    value.map_err(|wanted| InvalidIdToken::Claim { name, wanted })
}

pub(crate) fn required<T>(members: &Members, name: &'static str, read: Reader<T>) -> Result<T, InvalidIdToken> {
    optional(members, name, read)?.ok_or(InvalidIdToken::Claim { name, wanted: "there" })
}

pub(crate) fn text(value: &Value) -> Result<String, &'static str> {
    value.as_str().map(str::to_owned).ok_or("one text")
}

pub(crate) fn time(value: &Value) -> Result<u64, &'static str> {
    value.as_u64().ok_or("a whole number of seconds since 1970")
}

fn id(value: &Value) -> Result<u64, &'static str> {
    let digits = value.as_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or("a number written as text")
}

fn boolean(value: &Value) -> Result<bool, &'static str> {
    match value.as_str() {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        _ => Err("`true` or `false` written as text"),
    }
}
