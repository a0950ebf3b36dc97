//! `GET /projects/:id/protected_environments/:name`: whether GitLab protects an environment
//! (<https://docs.gitlab.com/api/protected_environments/#get-a-single-protected-environment>).

use http::{Method, StatusCode};
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::{Instance, answer};

/// One environment of a project.
#[derive(Clone, Copy, Debug)]
pub struct GetProtectedEnvironment<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project's numeric id.
    pub project_id: u64,
    /// The environment's whole name.
    pub name: &'a str,
}

#[derive(Deserialize)]
struct Environment {
    name: String,
}

impl Endpoint for GetProtectedEnvironment<'_> {
    /// Whether the answer is about this environment.
    type Output = bool;

    fn request(&self) -> Result<Request, http::Error> {
        let project = self.project_id.to_string();
        let url =
            self.instance.base().url(["api", "v4", "projects", project.as_str(), "protected_environments", self.name]);
        self.instance.request_to(Method::GET, &url)
    }

    fn parse(&self, response: &Response) -> Result<bool, CallError> {
        let environment: Environment = answer::json(self.instance.base().as_str(), response)?;
        Ok(environment.name == self.name)
    }
}

/// Whether GitLab protects an environment. Without a licence for it GitLab knows of none.
pub async fn is_protected(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    name: &str,
) -> Result<bool, CallError> {
    match call(http, &GetProtectedEnvironment { instance, project_id, name }).await {
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    #[test]
    fn an_environment_is_asked_for_by_its_whole_name() {
        let instance = instance();
        let asked =
            GetProtectedEnvironment { instance: &instance, project_id: 1001, name: "release/1.2.0/ubuntu jammy" };
        assert_eq!(
            asked.request().expect("a request").uri(),
            "https://gitlab.example.com/api/v4/projects/1001/protected_environments/release%2F1.2.0%2Fubuntu%20jammy"
        );
        let told = |name: &str| asked.parse(&response(200, serde_json::json!({ "name": name }).to_string()));
        assert!(told("release/1.2.0/ubuntu jammy").expect("an answer"));
        assert!(!told("release/1.2.0").expect("an answer"));
        assert!(asked.parse(&response(200, "[]")).is_err());
    }
}
