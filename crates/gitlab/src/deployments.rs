//! `GET /projects/:id/deployments/:deployment_id`: one deployment
//! (<https://docs.gitlab.com/api/deployments/#get-a-specific-deployment>).

use http::Method;
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::{Instance, answer};

/// One deployment of a project.
#[derive(Clone, Copy, Debug)]
pub struct GetDeployment<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project.
    pub project_id: u64,
    /// The deployment.
    pub deployment_id: u64,
}

/// The newest deployments of an environment that ended well.
#[derive(Clone, Copy, Debug)]
pub struct ListDeployments<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project.
    pub project_id: u64,
    /// The environment's name.
    pub environment: &'a str,
}

/// Whether a job deploys to an environment. GitLab's answer about a job does not say in which environment it runs, and
/// makes a deployment for it when its pipeline begins. Looked for among the newest, whatever became of them.
#[derive(Clone, Copy, Debug)]
pub struct DeploysTo<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project.
    pub project_id: u64,
    /// The environment's name.
    pub environment: &'a str,
    /// The job.
    pub job_id: u64,
}

/// A deployment, as GitLab's API describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: u64,
    /// How far it is.
    pub status: String,
    /// Where it was deployed.
    pub environment: Environment,
    /// The job that deployed. `None` when somebody told GitLab of it by its API.
    #[serde(default)]
    pub deployable: Option<Deployable>,
}

/// An environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: String,
}

/// A job that deploys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Deployable {
    /// The job.
    pub id: u64,
    /// When it ended, as GitLab writes it.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// Its pipeline.
    pub pipeline: DeployablePipeline,
}

/// The pipeline of a job that deploys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeployablePipeline {
    /// Its id.
    pub id: u64,
}

impl Deployment {
    /// Whether it ended well.
    pub fn is_done(&self) -> bool {
        self.status == "success"
    }
}

impl Endpoint for GetDeployment<'_> {
    type Output = Deployment;

    fn request(&self) -> Result<Request, http::Error> {
        let path = format!("/projects/{}/deployments/{}", self.project_id, self.deployment_id);
        self.instance.request(Method::GET, &path)
    }

    fn parse(&self, response: &Response) -> Result<Deployment, CallError> {
        let url = self.instance.base().as_str();
        let deployment: Deployment = answer::json(url, response)?;
        if deployment.id == self.deployment_id {
            Ok(deployment)
        } else {
            let (asked, told) = (self.deployment_id, deployment.id);
            Err(answer::unreadable(url, format!("asked for deployment {asked}, it describes deployment {told}")))
        }
    }
}

impl Endpoint for ListDeployments<'_> {
    type Output = Vec<Deployment>;

    fn request(&self) -> Result<Request, http::Error> {
        let environment = percent_encoding::utf8_percent_encode(self.environment, percent_encoding::NON_ALPHANUMERIC);
        let path = format!(
            "/projects/{}/deployments?environment={environment}&status=success&order_by=id&sort=desc&per_page=20",
            self.project_id
        );
        self.instance.request(Method::GET, &path)
    }

    fn parse(&self, response: &Response) -> Result<Vec<Deployment>, CallError> {
        let mut deployments: Vec<Deployment> = answer::json(self.instance.base().as_str(), response)?;
        // Old versions do not know the filter, and answer with everything.
        deployments.retain(|deployment| deployment.environment.name == self.environment && deployment.is_done());
        Ok(deployments)
    }
}

impl Endpoint for DeploysTo<'_> {
    type Output = bool;

    fn request(&self) -> Result<Request, http::Error> {
        let environment = percent_encoding::utf8_percent_encode(self.environment, percent_encoding::NON_ALPHANUMERIC);
        let path = format!(
            "/projects/{}/deployments?environment={environment}&order_by=id&sort=desc&per_page=100",
            self.project_id
        );
        self.instance.request(Method::GET, &path)
    }

    fn parse(&self, response: &Response) -> Result<bool, CallError> {
        let deployments: Vec<Deployment> = answer::json(self.instance.base().as_str(), response)?;
        Ok(deployments.iter().any(|deployment| {
            deployment.environment.name == self.environment
                && deployment.deployable.as_ref().is_some_and(|job| job.id == self.job_id)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    const DEPLOYMENT: &str = r#"{"id": 42, "iid": 2, "ref": "v3.1.0", "sha": "2293ada6b400935a1378653304eaf6221e0fdb8f",
        "created_at": "2026-11-10T13:50:02.123Z", "status": "success", "user": {"id": 7, "username": "mira"},
        "environment": {"id": 9, "name": "staging", "external_url": null},
        "deployable": {"id": 664, "status": "success", "stage": "deploy", "name": "deploy", "commit": {"id": "2293"},
            "pipeline": {"id": 1700000001, "ref": "v3.1.0", "sha": "2293", "status": "success"}}}"#;

    fn get(body: &str) -> Result<Deployment, CallError> {
        GetDeployment { instance: &instance(), project_id: 1001, deployment_id: 42 }.parse(&response(200, body))
    }

    #[test]
    fn a_deployment_tells_where_it_was_and_from_which_pipeline() {
        let asked = GetDeployment { instance: &instance(), project_id: 1001, deployment_id: 42 }.request();
        let expected = "https://gitlab.example.com/api/v4/projects/1001/deployments/42";
        assert_eq!(asked.expect("a request").uri(), expected);
        let deployment = get(DEPLOYMENT).expect("a deployment");
        assert!(deployment.is_done());
        assert_eq!(deployment.environment.name, "staging");
        assert_eq!(deployment.deployable.map(|job| (job.id, job.pipeline.id)), Some((664, 1_700_000_001)));
        let told = get(r#"{"id":42,"status":"running","environment":{"name":"x"},"deployable":null}"#).expect("by API");
        assert!(!told.is_done() && told.deployable.is_none());
    }

    #[test]
    fn another_deployment_than_asked_for_is_not_believed() {
        assert!(get(&DEPLOYMENT.replace("\"id\": 42", "\"id\": 43")).is_err());
    }

    #[test]
    fn only_what_ended_well_in_the_environment_is_listed() {
        let instance = instance();
        let list = ListDeployments { instance: &instance, project_id: 1001, environment: "eu/prod 1" };
        let expected = "https://gitlab.example.com/api/v4/projects/1001/deployments?environment=eu%2Fprod%201\
                        &status=success&order_by=id&sort=desc&per_page=20";
        assert_eq!(list.request().expect("a request").uri(), expected);
        let body = format!(
            "[{}, {}, {DEPLOYMENT}]",
            DEPLOYMENT.replace("\"staging\"", "\"eu/prod 1\""),
            DEPLOYMENT.replace("\"staging\"", "\"eu/prod 1\"").replacen("success", "failed", 1)
        );
        assert_eq!(list.parse(&response(200, body)).expect("a list").len(), 1);
    }

    #[test]
    fn a_job_deploys_to_an_environment_if_a_deployment_there_is_its_own() {
        let instance = instance();
        let asked = |job_id: u64, environment| DeploysTo { instance: &instance, project_id: 1001, environment, job_id };
        let expected = "https://gitlab.example.com/api/v4/projects/1001/deployments?environment=release%2Fdeb\
                        &order_by=id&sort=desc&per_page=100";
        assert_eq!(asked(664, "release/deb").request().expect("a request").uri(), expected);
        let body = format!(
            "[{}, {}]",
            DEPLOYMENT.replace("\"success\"", "\"created\""),
            r#"{"id":41,"status":"success","environment":{"name":"staging"},"deployable":null}"#
        );
        let told =
            |job_id, environment| asked(job_id, environment).parse(&response(200, body.clone())).expect("a list");
        assert!(told(664, "staging"));
        assert!(!told(665, "staging"), "another job's");
        assert!(!told(664, "release/deb"), "old versions do not know the filter, and answer with everything");
        assert!(asked(664, "staging").parse(&response(200, "{}")).is_err());
    }
}
