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
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    /// When it was made, as GitLab writes it: with its pipeline, or when it was run again.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When a runner took it, as GitLab writes it. A manual job has waited until it was played.
    #[serde(default)]
    pub started_at: Option<String>,
    /// How many seconds it has waited for a runner, from when it was played.
    #[serde(default)]
    pub queued_duration: Option<f64>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    const JOB: &str = include_str!("../fixtures/job.json");

    fn parse(status: u16, body: &str) -> Result<Job, CallError> {
        let instance = instance();
        GetJob { instance: &instance, project_id: 1001, job_id: 3_580_121_225 }.parse(&response(status, body))
    }

    #[test]
    fn a_job_is_asked_for_by_number_with_the_token_in_its_header() {
        let instance = instance();
        let request = GetJob { instance: &instance, project_id: 1001, job_id: 3_580_121_225 }.request();
        let request = request.expect("a request");
        assert_eq!(request.uri(), "https://gitlab.example.com/api/v4/projects/1001/jobs/3580121225");
        assert_eq!(request.headers()["private-token"], "glpat-s3cret");
        assert!(request.headers()["private-token"].is_sensitive());
        assert!(!format!("{instance:?}").contains("s3cret"));
    }

    #[test]
    fn a_job_is_read() {
        let job = parse(200, JOB).expect("a job");
        assert_eq!((job.id, job.name.as_str()), (3_580_121_225, "release: [ubuntu-jammy-amd64]"));
        assert_eq!((job.status, job.tag, job.ref_name.as_deref()), (JobStatus::Pending, true, Some("v3.1.0")));
        let user = job.user.expect("a user");
        assert_eq!((user.id, user.username.as_str(), user.name.as_deref()), (7, "mira", Some("Mira Holt")));
        assert_eq!((job.pipeline.id, job.pipeline.project_id), (2366, Some(1001)));
        assert_eq!((job.created_at.as_deref(), job.started_at), (Some("2026-11-10T13:50:02.123Z"), None));
        assert_eq!(job.queued_duration, Some(1.25));
        assert_eq!(job.pipeline.sha, "2293ada6b400935a1378653304eaf6221e0fdb8f");
        assert_eq!(job.web_url.as_deref(), Some("https://gitlab.example.com/harbour/tug/-/jobs/3580121225"));
    }

    #[test]
    fn what_old_versions_leave_out_may_be_absent() {
        let job = parse(
            200,
            r#"{"id":3580121225,"name":"x","status":"manual","user":null,"tag":null,"pipeline":{"id":1,"ref":"main","sha":"00"}}"#,
        );
        let job = job.expect("a job");
        assert_eq!((job.status, job.user, job.web_url, job.pipeline.project_id), (JobStatus::Manual, None, None, None));
    }

    #[test]
    fn an_address_that_is_no_web_page_is_dropped() {
        for url in ["javascript:alert(1)", "//evil.test/x", "https://mira@evil.test/", "data:text/html,x", "", "/x"] {
            let job = parse(200, &JOB.replace("https://gitlab.example.com/harbour/tug/-/jobs/3580121225", url));
            assert_eq!(job.expect("a job").web_url, None, "{url}");
        }
    }

    #[test]
    fn another_job_than_asked_for_is_not_believed() {
        let error = parse(200, &JOB.replace("3580121225", "3580121226")).expect_err("another job");
        assert!(error.to_string().contains("describes job 3580121226"), "{error}");
    }

    #[test]
    fn a_refusal_is_kept_and_a_redirect_is_one() {
        for status in [401, 403, 404, 429, 500] {
            let error = parse(status, r#"{"message":"no"}"#).expect_err("a refusal");
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        }
        for (status, body) in [(302, ""), (200, ""), (200, "[]"), (200, "{}"), (200, "<html>")] {
            let error = parse(status, body).expect_err(body);
            assert!(matches!(error, CallError::Unreadable { .. }), "{error}");
        }
    }
}
