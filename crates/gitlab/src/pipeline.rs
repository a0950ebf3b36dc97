//! `GET /projects/:id/pipelines/:pipeline_id`: who started a pipeline
//! (<https://docs.gitlab.com/api/pipelines/#get-a-single-pipeline>).

use http::Method;
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::{Instance, User, answer};

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
}
