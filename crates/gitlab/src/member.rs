//! `GET /projects/:id/members/all/:user_id`: the role of a person in a project, inherited ones with it
//! (<https://docs.gitlab.com/api/project_members/#get-a-member-of-a-project-including-inherited-and-invited-members>).

use http::{Method, StatusCode};
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Http, Request, Response, call};

use crate::{AccessLevel, Instance, answer};

/// One person in one project.
#[derive(Clone, Copy, Debug)]
pub struct GetMember<'a> {
    /// Which GitLab.
    pub instance: &'a Instance,
    /// The project's numeric id.
    pub project_id: u64,
    /// The person's numeric id.
    pub user_id: u64,
}

/// A member, as far as it says what they may do.
#[derive(Deserialize)]
struct Member {
    id: u64,
    access_level: u64,
    /// Of the person: `active`, `blocked`, … Not in old versions' answers.
    #[serde(default)]
    state: Option<String>,
    /// Of the membership: `active`, `awaiting`.
    #[serde(default)]
    membership_state: Option<String>,
}

impl Endpoint for GetMember<'_> {
    /// `None` for somebody who is blocked, or whose membership is not accepted yet.
    type Output = Option<AccessLevel>;

    fn request(&self) -> Result<Request, http::Error> {
        self.instance.request(Method::GET, &format!("/projects/{}/members/all/{}", self.project_id, self.user_id))
    }

    fn parse(&self, response: &Response) -> Result<Option<AccessLevel>, CallError> {
        let url = self.instance.base().as_str();
        let member: Member = answer::json(url, response)?;
        if member.id != self.user_id {
            let (asked, told) = (self.user_id, member.id);
            return Err(answer::unreadable(url, format!("asked for member {asked}, it describes member {told}")));
        }
        let is_active = |state: &Option<String>| state.as_ref().is_none_or(|state| state == "active");
        let active = is_active(&member.state) && is_active(&member.membership_state);
        Ok(AccessLevel::of_number(member.access_level).filter(|_| active))
    }
}

/// The role of a person in a project; `None` for somebody who has none.
pub async fn role(
    http: &impl Http,
    instance: &Instance,
    project_id: u64,
    user_id: u64,
) -> Result<Option<AccessLevel>, CallError> {
    match call(http, &GetMember { instance, project_id, user_id }).await {
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance, response};

    fn level(body: &str) -> Result<Option<AccessLevel>, CallError> {
        let instance = instance();
        let asked = GetMember { instance: &instance, project_id: 1001, user_id: 7 };
        let request = asked.request().expect("a request");
        assert_eq!(request.uri(), "https://gitlab.example.com/api/v4/projects/1001/members/all/7");
        assert_eq!(request.headers()["private-token"], "glpat-s3cret");
        asked.parse(&response(200, body))
    }

    #[test]
    fn a_members_role_is_read_and_that_of_somebody_blocked_is_none() {
        for (level_number, state, membership, expected) in [
            (40, "active", "active", Some(AccessLevel::Maintainer)),
            (20, "active", "active", Some(AccessLevel::Reporter)),
            (50, "blocked", "active", None),
            (50, "deactivated", "active", None),
            (50, "active", "awaiting", None),
            (5, "active", "active", None),
            (0, "active", "active", None),
        ] {
            let body = serde_json::json!({"id": 7, "username": "mira", "access_level": level_number, "state": state,
                "membership_state": membership, "expires_at": null});
            assert_eq!(level(&body.to_string()).expect("a member"), expected, "{body}");
        }
        let old = level(r#"{"id":7,"access_level":30}"#).expect("an old version's member");
        assert_eq!(old, Some(AccessLevel::Developer));
    }

    #[test]
    fn another_persons_role_is_not_believed() {
        let error = level(r#"{"id":8,"access_level":50,"state":"active"}"#).expect_err("another person");
        assert!(error.to_string().contains("it describes member 8"), "{error}");
        assert!(level(r#"{"id":7,"access_level":"50"}"#).is_err());
    }
}
