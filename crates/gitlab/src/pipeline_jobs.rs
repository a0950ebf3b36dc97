//! `GET /projects/:id/pipelines/:pipeline_id/jobs`: the jobs of a pipeline, each in its newest run
//! (<https://docs.gitlab.com/api/jobs/#list-pipeline-jobs>).

use http::Method;
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::{Instance, JobStatus, answer};

/// Jobs of a page. GitLab gives no more.
const PAGE: usize = 100;
/// Pages that are read of one pipeline: far more jobs than the largest known has.
const PAGES_MAX: u32 = 20;
/// Every status that a played job can have, and that one which has failed has not.
const PLAYED: [&str; 5] = ["pending", "preparing", "running", "success", "waiting_for_resource"];

/// One page of the jobs of a pipeline.
#[derive(Clone, Copy, Debug)]
struct ListPipelineJobs<'a> {
    instance: &'a Instance,
    project_id: u64,
    pipeline_id: u64,
    /// The statuses of those that are listed. Without any, all are.
    statuses: &'a [&'a str],
    /// From 1.
    page: u32,
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

impl Endpoint for ListPipelineJobs<'_> {
    type Output = Vec<ListedJob>;

    fn request(&self) -> Result<Request, http::Error> {
        let Self { project_id, pipeline_id, statuses, page, .. } = self;
        let scopes: Vec<String> = statuses.iter().map(|status| format!("&scope%5B%5D={status}")).collect();
        let scopes = scopes.concat();
        let path = format!("/projects/{project_id}/pipelines/{pipeline_id}/jobs?per_page={PAGE}&page={page}{scopes}");
        self.instance.request(Method::GET, &path)
    }

    fn parse(&self, response: &Response) -> Result<Vec<ListedJob>, CallError> {
        answer::json(self.instance.base().as_str(), response)
    }
}

/// All jobs of a pipeline.
pub async fn pipeline_jobs(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Vec<ListedJob>, CallError> {
    listed(http, instance, project_id, pipeline_id, &[]).await
}

/// The jobs of a pipeline that have been played, or began by themselves, and have not failed.
pub async fn played_jobs(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Vec<ListedJob>, CallError> {
    listed(http, instance, project_id, pipeline_id, &PLAYED).await
}

/// Page after page. A pipeline with more than two thousand jobs is an error: one that is not read may be the one that
/// counts.
async fn listed(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    pipeline_id: u64,
    statuses: &[&str],
) -> Result<Vec<ListedJob>, CallError> {
    let mut jobs = Vec::new();
    for page in 1..=PAGES_MAX {
        let more = call(http, &ListPipelineJobs { instance, project_id, pipeline_id, statuses, page }).await?;
        let is_last = more.len() < PAGE;
        jobs.extend(more);
        if is_last {
            return Ok(jobs);
        }
    }
    Err(answer::unreadable(instance.base().as_str(), format!("pipeline {pipeline_id} has more jobs than are read")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    fn list<'a>(instance: &'a Instance, statuses: &'a [&'a str]) -> ListPipelineJobs<'a> {
        ListPipelineJobs { instance, project_id: 1001, pipeline_id: 1_700_000_001, statuses, page: 2 }
    }

    #[test]
    fn a_page_is_asked_for_with_the_statuses_that_are_wanted_or_without_any() {
        let pages = "https://gitlab.example.com/api/v4/projects/1001/pipelines/1700000001/jobs?per_page=100&page=2";
        let request = list(&instance(), &[]).request().expect("a request");
        assert_eq!(request.uri(), pages);
        assert_eq!(request.headers()["private-token"], "glpat-s3cret");
        let request = list(&instance(), &PLAYED).request().expect("a request");
        assert_eq!(
            request.uri().to_string(),
            format!(
                "{pages}&scope%5B%5D=pending&scope%5B%5D=preparing&scope%5B%5D=running&scope%5B%5D=success\
                 &scope%5B%5D=waiting_for_resource"
            )
        );
    }

    #[test]
    fn each_job_has_a_number_a_name_and_a_status() {
        let instance = instance();
        let list = list(&instance, &[]);
        let job = include_str!("../fixtures/job.json");
        let failed = r#"{"id":2,"name":"qa","status":"failed"}"#;
        let jobs = list.parse(&response(200, format!("[{job},{failed}]"))).expect("a list");
        let told: Vec<_> = jobs.iter().map(|job| (job.id, job.name.as_str(), job.status.as_str())).collect();
        assert_eq!(told, [(3_580_121_225, "release: [ubuntu-jammy-amd64]", "pending"), (2, "qa", "failed")]);
        assert!(list.parse(&response(200, "[]")).expect("an empty page").is_empty());
        for (status, body) in [(404, "{}"), (200, "{}"), (200, "<html>"), (302, ""), (200, r#"[{"id":"1"}]"#)] {
            assert!(list.parse(&response(status, body)).is_err(), "{status} {body}");
        }
    }
}
