//! `POST /projects/:id/statuses/:sha`: the status of a commit, shown beside the jobs of its pipeline
//! (<https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>).

use http::{Method, StatusCode};
use serde::Serialize;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::{Instance, answer};

/// GitLab keeps this many characters of a description.
const DESCRIPTION_CHARS_MAX: usize = 255;

/// How far what a status stands for is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitState {
    /// On its way.
    Pending,
    /// Done.
    Success,
    /// A person is needed.
    Failed,
}

impl CommitState {
    /// GitLab's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }
}

/// A status of a commit, known by its name.
#[derive(Clone, Copy, Debug)]
pub struct SetCommitStatus<'a> {
    /// Which GitLab, with a token of the scope `api`.
    pub instance: &'a Instance,
    /// The project.
    pub project_id: u64,
    /// The commit.
    pub sha: &'a str,
    /// The pipeline beside whose jobs it is shown.
    pub pipeline_id: u64,
    /// The branch or tag.
    pub ref_name: &'a str,
    /// What it is called.
    pub name: &'a str,
    /// How far it is.
    pub state: CommitState,
    /// The reason and the next step.
    pub description: &'a str,
    /// Where a person sees more.
    pub target_url: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    state: CommitState,
    name: &'a str,
    #[serde(rename = "ref")]
    ref_name: &'a str,
    pipeline_id: u64,
    target_url: &'a str,
    description: String,
}

impl Endpoint for SetCommitStatus<'_> {
    type Output = ();

    fn request(&self) -> Result<Request, http::Error> {
        // A commit's name is in an address: whoever wrote another is not followed elsewhere.
        let sha: String = self.sha.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let body = Body {
            state: self.state,
            name: self.name,
            ref_name: self.ref_name,
            pipeline_id: self.pipeline_id,
            target_url: self.target_url,
            description: self.description.chars().take(DESCRIPTION_CHARS_MAX).collect(),
        };
        let mut request =
            self.instance.request(Method::POST, &format!("/projects/{}/statuses/{sha}", self.project_id))?;
        request.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        // Text and numbers have no way not to be JSON.
        *request.body_mut() = serde_json::to_vec(&body).unwrap_or_default();
        Ok(request)
    }

    /// GitLab refuses a status that is there already, as one that cannot change into itself: that is what was wanted.
    fn parse(&self, response: &Response) -> Result<(), CallError> {
        let there = format!("from :{}", self.state.word());
        let said = String::from_utf8_lossy(response.body());
        if response.status() == StatusCode::BAD_REQUEST
            && said.contains("Cannot transition status")
            && said.contains(&there)
        {
            return Ok(());
        }
        answer::body(self.instance.base().as_str(), response).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    fn status<'a>(instance: &'a Instance, sha: &'a str, description: &'a str) -> SetCommitStatus<'a> {
        SetCommitStatus {
            instance,
            project_id: 1001,
            sha,
            pipeline_id: 2366,
            ref_name: "v3.1.0",
            name: "slipway/deb",
            state: CommitState::Success,
            description,
            target_url: "https://slipway.example.com/tug/3.1.0",
        }
    }

    #[test]
    fn a_status_says_how_far_and_where_to_look() {
        let request = status(&instance(), "2293ada6", "Released.").request().expect("a request");
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri(), "https://gitlab.example.com/api/v4/projects/1001/statuses/2293ada6");
        assert_eq!(
            String::from_utf8_lossy(request.body()),
            r#"{"state":"success","name":"slipway/deb","ref":"v3.1.0","pipeline_id":2366,"target_url":"https://slipway.example.com/tug/3.1.0","description":"Released."}"#
        );
    }

    #[test]
    fn a_description_is_cut_at_gitlabs_limit_and_a_commit_cannot_lead_elsewhere() {
        let request = status(&instance(), "../../x?y#z", &"ä".repeat(300)).request().expect("a request");
        assert_eq!(request.uri().path(), "/api/v4/projects/1001/statuses/xyz");
        let body: serde_json::Value = serde_json::from_slice(request.body()).expect("JSON");
        assert_eq!(body["description"].as_str().map(|text| text.chars().count()), Some(255));
    }

    #[test]
    fn a_status_that_is_there_already_is_set() {
        let set = |code, body: &str| status(&instance(), "22", "").parse(&response(code, body));
        for (code, body, holds) in [
            (201, "{}", true),
            (200, "{}", true),
            (400, r#"{"message":"Cannot transition status via :enqueue from :pending (Reason(s): x)"}"#, false),
            (
                400,
                r#"{"message":"Cannot transition status via :succeed from :success (Reason(s): Status cannot transition via \"succeed\")"}"#,
                true,
            ),
            (400, r#"{"message":{"name":["is too long"]}}"#, false),
            (401, "{}", false),
            (403, "{}", false),
            (404, "{}", false),
            (429, "{}", false),
            (500, "{}", false),
            (302, "", false),
        ] {
            assert_eq!(set(code, body).is_ok(), holds, "{code} {body}");
        }
    }
}
