//! GitLab, asked by a person: with their own token, for what they may do themselves.
//!
//! Every kind of GitLab's tokens is taken as `Authorization: Bearer`. It goes to the one configured address, and a redirect is
//! not followed.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use slipway_fetch::Fetch;
use slipway_gitlab::{Job, JobStatus, OwnToken};
use slipway_wire::{Base, CallError, Http, Response, Token};

/// How long one answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Jobs a page, and pages of one pipeline. GitLab allows 200 jobs in a matrix, and some hundred in a pipeline.
const PER_PAGE: usize = 100;
const PAGES_MAX: usize = 20;

/// A GitLab, and who asks.
#[derive(Clone)]
pub(crate) struct Gitlab {
    base: Base,
    token: Option<Token>,
    http: Fetch,
}

/// A job of a pipeline, as lists of jobs have it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ListedJob {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) status: JobStatus,
    #[serde(default)]
    pub(crate) web_url: Option<String>,
}

impl From<Job> for ListedJob {
    fn from(job: Job) -> Self {
        Self { id: job.id, name: job.name, status: job.status, web_url: job.web_url }
    }
}

/// `GET /oauth/token/info`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct GrantFacts {
    #[serde(default)]
    pub(crate) scope: Vec<String>,
    #[serde(default)]
    pub(crate) expires_in: Option<u64>,
}

/// `GET /projects/:id/hooks`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Hook {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) job_events: bool,
    #[serde(default)]
    pub(crate) pipeline_events: bool,
    #[serde(default)]
    pub(crate) deployment_events: bool,
    #[serde(default)]
    pub(crate) enable_ssl_verification: Option<bool>,
    #[serde(default)]
    pub(crate) alert_status: Option<String>,
    #[serde(default)]
    pub(crate) disabled_until: Option<String>,
}

/// `GET /projects/:id/protected_environments`: that there is one is all that is asked.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ProtectedEnvironment {}

/// `POST /oauth/authorize_device`.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_field_names, reason = "as RFC 8628 names them")]
pub(crate) struct DeviceCode {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    #[serde(default)]
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) expires_in: u32,
    #[serde(default)]
    pub(crate) interval: Option<u32>,
}

/// `POST /oauth/token`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Grant {
    pub(crate) access_token: String,
    #[serde(default)]
    pub(crate) refresh_token: Option<String>,
    #[serde(default)]
    pub(crate) expires_in: Option<u64>,
}

/// What is sent.
enum Body<'a> {
    None,
    Json(&'a str),
    Form(&'a BTreeMap<&'a str, &'a str>),
}

impl Gitlab {
    pub(crate) fn new(base: Base, token: Option<Token>) -> Self {
        Self { base, token, http: Fetch::new(ANSWER_DEADLINE) }
    }

    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// One question, and its whole answer.
    async fn send(&self, method: Method, path: &str, body: Body<'_>) -> Result<Response, CallError> {
        let unsendable = |error: http::Error| CallError::Unsendable(error.to_string());
        let mut request =
            http::Request::builder().method(method).uri(self.base.join(path)).header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.bearer().map_err(unsendable)?);
        }
        let (kind, body) = match body {
            Body::None => (None, Vec::new()),
            Body::Json(text) => (Some("application/json"), text.as_bytes().to_vec()),
            Body::Form(fields) => (Some("application/x-www-form-urlencoded"), form(fields).into_bytes()),
        };
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        Ok(self.http.send(request.body(body).map_err(unsendable)?).await?)
    }

    fn read<T: DeserializeOwned>(&self, response: &Response) -> Result<T, CallError> {
        let host = self.host();
        if response.status().is_redirection() {
            let why = format!("status {}: it redirects; is the address the current one?", response.status().as_u16());
            return Err(CallError::Unreadable { host, why });
        }
        if !response.status().is_success() {
            return Err(CallError::refused(&host, response));
        }
        serde_json::from_slice(response.body()).map_err(|error| CallError::Unreadable { host, why: error.to_string() })
    }

    fn host(&self) -> String {
        let uri = self.base.as_str().parse::<Uri>().ok();
        uri.and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default()
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, CallError> {
        let response = self.send(method, path, Body::None).await?;
        self.read(&response)
    }

    /// The newest job of each name in a pipeline.
    pub(crate) async fn jobs(&self, project: u64, pipeline: u64) -> Result<Vec<ListedJob>, CallError> {
        let mut jobs = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!(
                "/api/v4/projects/{project}/pipelines/{pipeline}/jobs?include_retried=false&per_page={PER_PAGE}&page={page}"
            );
            let listed: Vec<ListedJob> = self.ask(Method::GET, &path).await?;
            let is_last = listed.len() < PER_PAGE;
            jobs.extend(listed);
            if is_last {
                break;
            }
        }
        Ok(jobs)
    }

    /// One job.
    pub(crate) async fn job(&self, project: u64, job: u64) -> Result<ListedJob, CallError> {
        self.ask(Method::GET, &format!("/api/v4/projects/{project}/jobs/{job}")).await
    }

    /// Plays a manual job.
    pub(crate) async fn play(&self, project: u64, job: u64) -> Result<ListedJob, CallError> {
        let path = format!("/api/v4/projects/{project}/jobs/{job}/play");
        let response = self.send(Method::POST, &path, Body::Json("{}")).await?;
        self.read(&response)
    }

    /// Runs a job again, as another one.
    pub(crate) async fn retry(&self, project: u64, job: u64) -> Result<ListedJob, CallError> {
        self.ask(Method::POST, &format!("/api/v4/projects/{project}/jobs/{job}/retry")).await
    }

    /// What kind of access token this is. Only tokens that a person made can tell.
    pub(crate) async fn token(&self) -> Result<OwnToken, CallError> {
        self.ask(Method::GET, "/api/v4/personal_access_tokens/self").await
    }

    /// What a token of an application may do.
    pub(crate) async fn grant(&self) -> Result<GrantFacts, CallError> {
        self.ask(Method::GET, "/oauth/token/info").await
    }

    /// The environments that the project protects.
    pub(crate) async fn protected_environments(&self, project: u64) -> Result<Vec<ProtectedEnvironment>, CallError> {
        self.ask(Method::GET, &format!("/api/v4/projects/{project}/protected_environments?per_page={PER_PAGE}")).await
    }

    /// The project's webhooks.
    pub(crate) async fn hooks(&self, project: u64) -> Result<Vec<Hook>, CallError> {
        self.ask(Method::GET, &format!("/api/v4/projects/{project}/hooks?per_page={PER_PAGE}")).await
    }

    /// Any answer: whether it can be reached, and what time it has.
    pub(crate) async fn version(&self) -> Result<Response, CallError> {
        self.send(Method::GET, "/api/v4/version", Body::None).await
    }

    /// Begins a device's sign-in.
    pub(crate) async fn device(&self, application: &str, scope: &str) -> Result<DeviceCode, CallError> {
        let fields = BTreeMap::from([("client_id", application), ("scope", scope)]);
        let response = self.send(Method::POST, "/oauth/authorize_device", Body::Form(&fields)).await?;
        self.read(&response)
    }

    /// Asks whether a person has let the device in; the inner error is the one that RFC 8628 names, such as
    /// `authorization_pending`.
    pub(crate) async fn grant_device(
        &self,
        application: &str,
        device_code: &str,
    ) -> Result<Result<Grant, String>, CallError> {
        self.grant_for(BTreeMap::from([
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", application),
            ("device_code", device_code),
        ]))
        .await
    }

    /// A new access token for one that has expired.
    pub(crate) async fn refresh(
        &self,
        application: &str,
        refresh_token: &str,
    ) -> Result<Result<Grant, String>, CallError> {
        self.grant_for(BTreeMap::from([
            ("grant_type", "refresh_token"),
            ("client_id", application),
            ("refresh_token", refresh_token),
        ]))
        .await
    }

    /// Takes a token back, and with it the one that it can be exchanged for (RFC 7009).
    pub(crate) async fn revoke(&self, application: &str, token: &str) -> Result<(), CallError> {
        let fields = BTreeMap::from([("client_id", application), ("token", token)]);
        let response = self.send(Method::POST, "/oauth/revoke", Body::Form(&fields)).await?;
        if response.status().is_success() { Ok(()) } else { Err(CallError::refused(&self.host(), &response)) }
    }

    async fn grant_for(&self, fields: BTreeMap<&str, &str>) -> Result<Result<Grant, String>, CallError> {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let response = self.send(Method::POST, "/oauth/token", Body::Form(&fields)).await?;
        if response.status().is_client_error()
            && let Ok(Refusal { error }) = serde_json::from_slice(response.body())
        {
            return Ok(Err(error));
        }
        self.read(&response).map(Ok)
    }
}

/// Fields as a form sends them: all but letters and digits as their bytes.
fn form(fields: &BTreeMap<&str, &str>) -> String {
    let escaped = |text: &str| -> String {
        let byte = |byte: u8| {
            let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        };
        text.bytes().map(byte).collect()
    };
    let pair = |(name, value): (&&str, &&str)| format!("{}={}", escaped(name), escaped(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_field_cannot_become_two() {
        let fields = BTreeMap::from([("grant_type", "urn:ietf:x"), ("scope", "api read_user&x=é")]);
        assert_eq!(form(&fields), "grant_type=urn%3Aietf%3Ax&scope=api%20read_user%26x%3D%C3%A9");
    }
}
