//! `GET /api/v1/repos.json?include_collaborations=1`: the repositories that a token's user may write to
//! (<https://packagecloud.io/docs/api#resource_repositories>): its own, and those that it was made a collaborator of.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::{Account, answer};

/// The repositories of a token's user.
#[derive(Clone, Copy, Debug)]
pub struct ListRepositories<'a> {
    /// Whose.
    pub account: &'a Account,
}

impl Endpoint for ListRepositories<'_> {
    /// By `user/repository`, whether it is private. `None` where the server does not say.
    type Output = BTreeMap<String, Option<bool>>;

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.account.base().url(["api", "v1", "repos.json"]);
        self.account.request(Method::GET, &format!("{url}?include_collaborations=1"))
    }

    fn parse(&self, response: &Response) -> Result<Self::Output, CallError> {
        #[derive(Deserialize)]
        struct Listed {
            fqname: String,
            #[serde(default)]
            private: Option<bool>,
        }
        let listed: Vec<Listed> = answer::json(self.account.base(), response)?;
        Ok(listed.into_iter().map(|listed| (listed.fqname, listed.private)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{account, response};

    #[test]
    fn a_users_own_repositories_and_those_of_others_that_it_may_write_to_are_listed() {
        let account = account();
        let asked = ListRepositories { account: &account };
        let url = "https://packages.example.com/api/v1/repos.json?include_collaborations=1";
        assert_eq!(asked.request().expect("a request").uri(), url);
        let listed = asked.parse(&response(
            200,
            r#"[{"name": "pre-release", "created_at": "2026-01-01T00:00:00.000Z", "fqname": "ci/pre-release", "private": true},
                {"name": "stable", "fqname": "harbour/stable", "private": false}, {"name": "x", "fqname": "harbour/x"}]"#,
        ));
        let expected = [("ci/pre-release", Some(true)), ("harbour/stable", Some(false)), ("harbour/x", None)];
        let expected = expected.map(|(name, private)| (name.to_owned(), private));
        assert_eq!(listed.expect("a list"), expected.into());
        assert!(asked.parse(&response(401, r#"{"error":"Unauthenticated"}"#)).is_err());
    }
}
