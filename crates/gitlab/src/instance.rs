//! A GitLab instance, asked with one token.

use http::Method;
use http::header::ACCEPT;
use slipway_wire::{Base, Request, Token};

/// A GitLab instance and a token for its API. Reading jobs needs the scope `read_api`.
#[derive(Clone, Debug)]
pub struct Instance {
    base: Base,
    token: Token,
}

impl Instance {
    /// The instance at `base`, without `/api/v4`.
    pub fn new(base: Base, token: Token) -> Self {
        Self { base, token }
    }

    /// Where the instance is.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// A request below `/api/v4`.
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<Request, http::Error> {
        self.request_to(method, &self.base.join(&format!("/api/v4{path}")))
    }

    /// A request to an address of this instance.
    pub(crate) fn request_to(&self, method: Method, url: &str) -> Result<Request, http::Error> {
        http::Request::builder()
            .method(method)
            .uri(url)
            .header("private-token", self.token.header()?)
            .header(ACCEPT, "application/json")
            .body(Vec::new())
    }
}
