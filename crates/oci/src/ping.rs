//! `GET /v2/`: whether a registry is there, and lets its user in
//! (OCI distribution specification 1.1, "Determining Support").

use http::{Method, StatusCode};
use slipway_wire::{CallError, Endpoint, Http, Request, Response};

use crate::answer::refusal;
use crate::registry::Registry;
use crate::session::{Scope, Session};

struct Ping<'a>(&'a Registry);

impl Endpoint for Ping<'_> {
    type Output = ();

    fn request(&self) -> Result<Request, http::Error> {
        Registry::request(Method::GET, &format!("{}/v2/", self.0.base)).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<(), CallError> {
        match response.status() {
            StatusCode::OK => Ok(()),
            _ => Err(refusal(&self.0.base, response)),
        }
    }
}

/// Whether a registry wanted the credential that it was asked with, and accepted it. `false`: it lets anybody in.
pub async fn answers(http: &impl Http, registry: &Registry) -> Result<bool, CallError> {
    let session = Session::new(registry);
    let scope = Scope::none();
    session.call(http, &scope, &Ping(registry)).await?;
    Ok(session.credential(&scope)?.is_some())
}
