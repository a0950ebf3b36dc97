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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Recorded, instance, now, response, with_header};

    const LIST: &str = "https://gitlab.example.com/api/v4/projects/1001/pipelines/2366/jobs";

    fn jobs(ids: impl IntoIterator<Item = u64>) -> String {
        let job = |id| {
            format!(r#"{{"id":{id},"name":"x","status":"success","pipeline":{{"id":2366,"ref":"main","sha":"00"}}}}"#)
        };
        format!("[{}]", ids.into_iter().map(job).collect::<Vec<_>>().join(","))
    }

    fn all(http: &Recorded) -> Result<Vec<u64>, CallError> {
        let jobs = now(pipeline_jobs(http, &instance(), 1001, 2366, &[]))?;
        Ok(jobs.iter().map(|job| job.id).collect())
    }

    #[test]
    fn a_list_can_be_narrowed_by_status() {
        let instance = instance();
        let scope = [JobStatus::Success, JobStatus::WaitingForResource, JobStatus::Other("a&b".to_owned())];
        let list = ListPipelineJobs {
            instance: &instance,
            project_id: 1001,
            pipeline_id: 2366,
            scope: &scope,
            include_retried: true,
            page: 3,
        };
        assert_eq!(
            list.request().expect("a request").uri().to_string(),
            format!(
                "{LIST}?per_page=100&page=3&scope%5B%5D=success&scope%5B%5D=waiting%5Ffor%5Fresource\
                 &scope%5B%5D=a%26b&include_retried=true"
            )
        );
    }

    #[test]
    fn all_pages_are_read_and_each_job_comes_once() {
        let http = Recorded::default()
            .with(&format!("{LIST}?per_page=100&page=1"), with_header("x-next-page", "2", jobs([9, 8])))
            .with(&format!("{LIST}?per_page=100&page=2"), with_header("x-next-page", "3", jobs([8, 7])))
            .with(&format!("{LIST}?per_page=100&page=3"), with_header("x-next-page", "", jobs([6])));
        assert_eq!(all(&http).expect("three pages"), [9, 8, 7, 6]);
    }

    #[test]
    fn without_the_header_a_full_page_is_followed_by_another() {
        let http = Recorded::default()
            .with(&format!("{LIST}?per_page=100&page=1"), response(200, jobs(100..200)))
            .with(&format!("{LIST}?per_page=100&page=2"), response(200, jobs(0..1)));
        assert_eq!(all(&http).expect("two pages").len(), 101);
        assert_eq!(http.asked().len(), 2);
    }

    #[test]
    fn an_endless_or_circular_list_is_given_up() {
        let mut http = Recorded::default();
        for page in 1..=PAGES_MAX {
            let answer = with_header("x-next-page", &(page + 1).to_string(), "[]");
            http = http.with(&format!("{LIST}?per_page=100&page={page}"), answer);
        }
        let error = all(&http).expect_err("too many pages").to_string();
        assert!(error.contains("more than 20 pages"), "{error}");
        for next in ["1", "0", "x", "-1", "2 3"] {
            let answer = with_header("x-next-page", next, "[]");
            let http = Recorded::default().with(&format!("{LIST}?per_page=100&page=1"), answer);
            assert!(matches!(all(&http), Err(CallError::Unreadable { .. })), "{next}");
            assert_eq!(http.asked().len(), 1);
        }
    }
}
