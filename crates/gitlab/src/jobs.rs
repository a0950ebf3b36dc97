//! `GET /projects/:id/jobs/:job_id`: one job (<https://docs.gitlab.com/api/jobs/#get-a-single-job>).

use http::{Method, Uri};
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::answer;
use crate::{Instance, JobStatus};

/// One job of a project.
#[derive(Clone, Copy, Debug)]
pub struct GetJob<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project's numeric id: paths can change hands.
    pub project_id: u64,
    /// The job.
    pub job_id: u64,
}

/// A job, as GitLab's API describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// Its id. Each retry has a new one.
    pub id: u64,
    /// Its name: `release: [ubuntu-jammy-amd64]`.
    pub name: String,
    /// Its stage.
    #[serde(default)]
    pub stage: Option<String>,
    /// How far it is.
    pub status: JobStatus,
    /// Branch or tag.
    #[serde(default, rename = "ref")]
    pub ref_name: Option<String>,
    /// Whether that is a tag.
    #[serde(default, deserialize_with = "flag")]
    pub tag: bool,
    /// Who owns it: who began the pipeline, and once it is played, who played it.
    #[serde(default)]
    pub user: Option<User>,
    /// Its pipeline.
    pub pipeline: JobPipeline,
    /// Where a person can look at it. `None` for what is not a plain web address.
    #[serde(default, deserialize_with = "web_url")]
    pub web_url: Option<String>,
}

/// A person, as GitLab's API names them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// GitLab's id, for life.
    pub id: u64,
    /// The user name, which can change.
    pub username: String,
    /// The display name.
    #[serde(default)]
    pub name: Option<String>,
}

/// The pipeline of a job.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct JobPipeline {
    /// Its id.
    pub id: u64,
    /// Its project. Not in old versions' answers.
    #[serde(default)]
    pub project_id: Option<u64>,
    /// Branch or tag.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// Commit.
    pub sha: String,
    /// Where a person can look at it. `None` for what is not a plain web address.
    #[serde(default, deserialize_with = "web_url")]
    pub web_url: Option<String>,
}

fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or_default())
}

/// A web address becomes a link on a page, so nothing but one passes: no `javascript:`, and nobody's name in it.
fn web_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let plain = |text: &String| {
        text.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        })
    };
    Ok(Option::<String>::deserialize(deserializer)?.filter(plain))
}

impl Endpoint for GetJob<'_> {
    type Output = Job;

    fn request(&self) -> Result<Request, http::Error> {
        self.instance.request(Method::GET, &format!("/projects/{}/jobs/{}", self.project_id, self.job_id))
    }

    fn parse(&self, response: &Response) -> Result<Job, CallError> {
        let url = self.instance.base().as_str();
        let job: Job = answer::json(url, response)?;
        if job.id == self.job_id {
            Ok(job)
        } else {
            Err(answer::unreadable(url, format!("asked for job {}, it describes job {}", self.job_id, job.id)))
        }
    }
}
