//! `GET /projects/:id/pipelines/:pipeline_id/jobs`: one page of a pipeline's jobs
//! (<https://docs.gitlab.com/api/jobs/#list-all-jobs-by-pipeline>). Child pipelines have lists of their own.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::answer::{self, unreadable};
use crate::{Instance, Job, JobStatus};

/// How many jobs are asked for at a time: the most that GitLab gives.
pub const PER_PAGE: usize = 100;

/// How many pages are read at most: 2,000 jobs.
pub const PAGES_MAX: u32 = 20;

/// One page of the jobs of a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct ListPipelineJobs<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project's numeric id.
    pub project_id: u64,
    /// The pipeline.
    pub pipeline_id: u64,
    /// Only jobs of these statuses. Empty means all.
    pub scope: &'a [JobStatus],
    /// Whether jobs that were retried since are listed too.
    pub include_retried: bool,
    /// Which page, from 1.
    pub page: u32,
}

/// One page of jobs, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobsPage {
    /// The jobs of this page.
    pub jobs: Vec<Job>,
    /// The number of the next page.
    pub next: Option<u32>,
}

impl Endpoint for ListPipelineJobs<'_> {
    type Output = JobsPage;

    fn request(&self) -> Result<Request, http::Error> {
        let Self { project_id, pipeline_id, page, .. } = self;
        let mut path = format!("/projects/{project_id}/pipelines/{pipeline_id}/jobs?per_page={PER_PAGE}&page={page}");
        for status in self.scope {
            path.push_str("&scope%5B%5D=");
            path.extend(utf8_percent_encode(status.as_str(), NON_ALPHANUMERIC));
        }
        if self.include_retried {
            path.push_str("&include_retried=true");
        }
        self.instance.request(Method::GET, &path)
    }

    fn parse(&self, response: &Response) -> Result<JobsPage, CallError> {
        let url = self.instance.base().as_str();
        let jobs: Vec<Job> = answer::json(url, response)?;
        let next = match response.headers().get("x-next-page").map(|value| value.to_str().unwrap_or("?").trim()) {
            Some("") => None,
            Some(number) => Some(number.parse().map_err(|_| unreadable(url, "its `X-Next-Page` is no number"))?),
            // A proxy may drop the header. A full page is then followed by another look.
            None => (jobs.len() >= PER_PAGE).then_some(self.page.saturating_add(1)),
        };
        match next {
            Some(next) if next <= self.page => {
                Err(unreadable(url, format!("its list goes in a circle, from page {} to page {next}", self.page)))
            }
            next => Ok(JobsPage { jobs, next }),
        }
    }
}

/// All jobs of a pipeline with one of these statuses, each once, the newest first. Jobs that were retried are left out.
pub async fn pipeline_jobs(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    pipeline_id: u64,
    scope: &[JobStatus],
) -> Result<Vec<Job>, CallError> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut page = 1;
    for _ in 0..PAGES_MAX {
        let list = ListPipelineJobs { instance, project_id, pipeline_id, scope, include_retried: false, page };
        let answer = call(http, &list).await?;
        for job in answer.jobs {
            // Pages shift while jobs are added.
            if !jobs.iter().any(|known| known.id == job.id) {
                jobs.push(job);
            }
        }
        match answer.next {
            Some(next) => page = next,
            None => return Ok(jobs),
        }
    }
    Err(unreadable(instance.base().as_str(), format!("more than {PAGES_MAX} pages of jobs in pipeline {pipeline_id}")))
}
