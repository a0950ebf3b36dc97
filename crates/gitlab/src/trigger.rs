//! `POST /projects/:id/trigger/pipeline`: starts a pipeline
//! (<https://docs.gitlab.com/ci/triggers/#use-a-webhook>).
//!
//! Its own token and nothing else: a trigger token starts pipelines of one project, and can do no more.

use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use slipway_wire::{Base, CallError, Endpoint, Request, Response, Token};

use crate::answer;

/// A pipeline of a project, with variables.
#[derive(Clone, Copy, Debug)]
pub struct TriggerPipeline<'a> {
    /// The instance's address, without `/api/v4`.
    pub base: &'a Base,
    /// The project whose pipeline starts.
    pub project_id: u64,
    /// The branch or tag.
    pub ref_name: &'a str,
    /// The project's trigger token.
    pub token: &'a Token,
    /// The pipeline's variables.
    pub variables: &'a [(&'a str, &'a str)],
}

/// A pipeline that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Triggered {
    /// Its id.
    pub id: u64,
}

impl Endpoint for TriggerPipeline<'_> {
    type Output = Triggered;

    fn request(&self) -> Result<Request, http::Error> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", self.token.expose()).append_pair("ref", self.ref_name);
        for (name, value) in self.variables {
            form.append_pair(&format!("variables[{name}]"), value);
        }
        http::Request::post(self.base.join(&format!("/api/v4/projects/{}/trigger/pipeline", self.project_id)))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.finish().into_bytes())
    }

    fn parse(&self, response: &Response) -> Result<Triggered, CallError> {
        // The token is in the form, and some servers show the whole request when they fail.
        let written = url::form_urlencoded::byte_serialize(self.token.expose().as_bytes()).collect();
        let secrets = [self.token.expose().to_owned(), written];
        answer::json(self.base.as_str(), response).map_err(|error| error.without(&secrets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{base, response};

    #[test]
    fn a_pipeline_is_started_with_its_trigger_token_and_variables() {
        let (base, token) = (base("https://gitlab.example.com"), Token::new("glptt-s3 cret"));
        let variables = [("SLIPWAY_EVENT", "complete"), ("SLIPWAY_VERSION", "1.0+rc1&ref=x")];
        let trigger =
            TriggerPipeline { base: &base, project_id: 5, ref_name: "main", token: &token, variables: &variables };
        let request = trigger.request().expect("a request");
        assert_eq!(request.uri(), "https://gitlab.example.com/api/v4/projects/5/trigger/pipeline");
        assert!(!request.headers().contains_key("private-token"));
        assert_eq!(
            String::from_utf8_lossy(request.body()),
            "token=glptt-s3+cret&ref=main&variables%5BSLIPWAY_EVENT%5D=complete\
             &variables%5BSLIPWAY_VERSION%5D=1.0%2Brc1%26ref%3Dx"
        );
        assert_eq!(trigger.parse(&response(201, r#"{"id":61,"iid":2}"#)).expect("a pipeline").id, 61);
        for (status, body) in
            [(404, "{}"), (400, r#"{"message":{"base":["Reference not found"]}}"#), (302, ""), (200, "{}")]
        {
            assert!(trigger.parse(&response(status, body)).is_err(), "{status}");
        }
    }
    #[test]
    fn the_token_is_not_in_what_is_said_of_a_server_that_repeats_what_it_was_shown() {
        let (base, token) = (base("https://gitlab.example.com"), Token::new("glptt-s3 cret"));
        let trigger = TriggerPipeline { base: &base, project_id: 5, ref_name: "main", token: &token, variables: &[] };
        for status in [500, 401, 404, 422, 200] {
            let answer = response(status, "{\"message\": \"token=glptt-s3+cret and glptt-s3 cret\"}");
            let said = trigger.parse(&answer).expect_err("nothing was started");
            let said = format!("{said} {said:?}");
            assert!(!said.contains("s3+cret") && !said.contains("s3 cret"), "{status}: {said}");
        }
    }
}
