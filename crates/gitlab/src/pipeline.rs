//! `GET /projects/:id/pipelines/:pipeline_id` and `…/jobs`: who started a pipeline, and how far all of its jobs are
//! (<https://docs.gitlab.com/api/pipelines/#get-a-single-pipeline>, <https://docs.gitlab.com/api/jobs/#list-pipeline-jobs>).

use http::Method;
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::{Instance, JobStatus, User, answer};

/// Jobs of a page. GitLab gives no more.
const PAGE: usize = 100;
/// Pages that are read of one pipeline: far more jobs than the largest known has.
const PAGES_MAX: u32 = 20;

/// One pipeline of a project.
#[derive(Clone, Copy, Debug)]
pub struct GetPipeline<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project's numeric id.
    pub project_id: u64,
    /// The pipeline.
    pub pipeline_id: u64,
}

/// A pipeline, as GitLab's API describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pipeline {
    /// Its id.
    pub id: u64,
    /// Who started it. `None` where nobody is left who did.
    #[serde(default)]
    pub user: Option<User>,
}

impl Endpoint for GetPipeline<'_> {
    type Output = Pipeline;

    fn request(&self) -> Result<Request, http::Error> {
        self.instance.request(Method::GET, &format!("/projects/{}/pipelines/{}", self.project_id, self.pipeline_id))
    }

    fn parse(&self, response: &Response) -> Result<Pipeline, CallError> {
        let url = self.instance.base().as_str();
        let pipeline: Pipeline = answer::json(url, response)?;
        if pipeline.id == self.pipeline_id {
            Ok(pipeline)
        } else {
            let (asked, told) = (self.pipeline_id, pipeline.id);
            Err(answer::unreadable(url, format!("asked for pipeline {asked}, it describes pipeline {told}")))
        }
    }
}

/// One page of all jobs of a pipeline, each in its newest run.
#[derive(Clone, Copy, Debug)]
struct ListJobs<'a> {
    instance: &'a Instance,
    project_id: u64,
    pipeline_id: u64,
    page: u32,
}

/// A job of a pipeline and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PipelineJob {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub status: JobStatus,
}

impl Endpoint for ListJobs<'_> {
    type Output = Vec<PipelineJob>;

    fn request(&self) -> Result<Request, http::Error> {
        let Self { project_id, pipeline_id, page, .. } = self;
        let path = format!("/projects/{project_id}/pipelines/{pipeline_id}/jobs?per_page={PAGE}&page={page}");
        self.instance.request(Method::GET, &path)
    }

    fn parse(&self, response: &Response) -> Result<Vec<PipelineJob>, CallError> {
        answer::json(self.instance.base().as_str(), response)
    }
}

/// All jobs of a pipeline. One with more than two thousand is an error: a job that is not read may be one that failed.
pub async fn pipeline_jobs(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    pipeline_id: u64,
) -> Result<Vec<PipelineJob>, CallError> {
    let mut jobs = Vec::new();
    for page in 1..=PAGES_MAX {
        let more = call(http, &ListJobs { instance, project_id, pipeline_id, page }).await?;
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

    #[test]
    fn a_pipeline_says_who_started_it() {
        let instance = instance();
        let ask = GetPipeline { instance: &instance, project_id: 1001, pipeline_id: 47 };
        let request = ask.request().expect("a request");
        assert_eq!(request.uri(), "https://gitlab.example.com/api/v4/projects/1001/pipelines/47");
        let user = |body: &str| ask.parse(&response(200, body)).map(|pipeline| pipeline.user.map(|user| user.id)).ok();
        assert_eq!(user(r#"{"id":47,"status":"running","user":{"id":7,"username":"mira"}}"#), Some(Some(7)));
        assert_eq!(user(r#"{"id":47,"status":"running","user":null}"#), Some(None));
        assert_eq!(user(r#"{"id":48,"user":null}"#), None, "another pipeline than was asked for");
    }

    #[test]
    fn all_jobs_are_listed_whatever_became_of_them() {
        let instance = instance();
        let list = ListJobs { instance: &instance, project_id: 1001, pipeline_id: 47, page: 2 };
        let request = list.request().expect("a request");
        assert_eq!(
            request.uri(),
            "https://gitlab.example.com/api/v4/projects/1001/pipelines/47/jobs?per_page=100&page=2"
        );
        let body = r#"[{"id":2,"name":"qa","status":"failed"},{"id":1,"name":"build","status":"manual"}]"#;
        let jobs = list.parse(&response(200, body)).expect("two jobs");
        let told: Vec<_> = jobs.iter().map(|job| (job.name.as_str(), job.status.as_str())).collect();
        assert_eq!(told, [("qa", "failed"), ("build", "manual")]);
    }
}
