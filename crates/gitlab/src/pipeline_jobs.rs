//! `GET /projects/:id/pipelines/:pipeline_id/jobs`: the jobs of a pipeline
//! (<https://docs.gitlab.com/api/jobs/#list-pipeline-jobs>).
//!
//! The newest run of each, and only those with a status that a played job has.

use http::Method;
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::answer;
use crate::{Instance, JobStatus};

/// Jobs of a page. GitLab gives no more.
const PAGE: usize = 100;
/// Pages that are read of one pipeline: a hundred times more jobs than the largest known.
const PAGES_MAX: u32 = 20;

/// One page of the jobs of a pipeline that have been played, or began by themselves.
#[derive(Clone, Copy, Debug)]
pub struct ListPlayedJobs<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project.
    pub project_id: u64,
    /// The pipeline.
    pub pipeline_id: u64,
    /// From 1.
    pub page: u32,
}

/// A job in the list of its pipeline. Whoever wants more of it asks for the job itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedJob {
    /// Its id. Each retry has a new one.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub status: JobStatus,
}

impl Endpoint for ListPlayedJobs<'_> {
    type Output = Vec<ListedJob>;

    fn request(&self) -> Result<Request, http::Error> {
        let scopes: String = ["pending", "preparing", "running", "success", "waiting_for_resource"]
            .map(|status| format!("&scope%5B%5D={status}"))
            .concat();
        let Self { project_id, pipeline_id, page, .. } = self;
        let path = format!("/projects/{project_id}/pipelines/{pipeline_id}/jobs?per_page={PAGE}&page={page}{scopes}");
        self.instance.request(Method::GET, &path)
    }

    fn parse(&self, response: &Response) -> Result<Vec<ListedJob>, CallError> {
        answer::json(self.instance.base().as_str(), response)
    }
}

/// All played jobs of a pipeline.
pub async fn played_jobs(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Vec<ListedJob>, CallError> {
    let mut jobs = Vec::new();
    for page in 1..=PAGES_MAX {
        let more = call(http, &ListPlayedJobs { instance, project_id, pipeline_id, page }).await?;
        let is_last = more.len() < PAGE;
        jobs.extend(more);
        if is_last {
            break;
        }
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    fn list(instance: &Instance) -> ListPlayedJobs<'_> {
        ListPlayedJobs { instance, project_id: 1001, pipeline_id: 1_700_000_001, page: 2 }
    }

    #[test]
    fn a_page_is_asked_for_with_the_statuses_of_played_jobs() {
        let request = list(&instance()).request().expect("a request");
        assert_eq!(
            request.uri(),
            "https://gitlab.example.com/api/v4/projects/1001/pipelines/1700000001/jobs?per_page=100&page=2\
             &scope%5B%5D=pending&scope%5B%5D=preparing&scope%5B%5D=running&scope%5B%5D=success\
             &scope%5B%5D=waiting_for_resource"
        );
        assert_eq!(request.headers()["private-token"], "glpat-s3cret");
    }

    #[test]
    fn each_job_has_a_number_a_name_and_a_status() {
        let job = include_str!("../fixtures/job.json");
        let jobs = list(&instance()).parse(&response(200, format!("[{job}]"))).expect("a list");
        let expected = ListedJob {
            id: 3_580_121_225,
            name: "release: [ubuntu-jammy-amd64]".to_owned(),
            status: JobStatus::Pending,
        };
        assert_eq!(jobs, [expected]);
        assert!(list(&instance()).parse(&response(200, "[]")).expect("an empty page").is_empty());
        for (status, body) in [(404, "{}"), (200, "{}"), (200, "<html>"), (302, ""), (200, r#"[{"id":"1"}]"#)] {
            assert!(list(&instance()).parse(&response(status, body)).is_err(), "{status} {body}");
        }
    }
}
