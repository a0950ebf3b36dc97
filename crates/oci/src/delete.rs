//! `DELETE /v2/{repository}/manifests/{tag or digest}`: takes a name or an image out of a repository
//! (OCI distribution specification 1.1, "Content Management").
//!
//! By tag, the tag alone goes. By digest, the image goes with every tag that leads to it. The manifests that an index
//! names stay, and so do blobs: space is freed by the registry's own collection.

use http::{Method, StatusCode};
use slipway_wire::{CallError, Endpoint, Request, Response};

use crate::answer::{reasons, refusal};
use crate::name::{Repository, Which};
use crate::registry::Registry;

/// The deletion of one tag, or of one manifest.
#[derive(Clone, Copy, Debug)]
pub struct DeleteManifest<'a> {
    /// Who is asked.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a Repository,
    /// Which image.
    pub which: &'a Which,
}

/// What became of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It was there, and is gone.
    Deleted,
    /// It was not there.
    WasGone,
    /// The registry does not do this: what it said.
    Unsupported(String),
}

impl Endpoint for DeleteManifest<'_> {
    type Output = Deletion;

    fn request(&self) -> Result<Request, http::Error> {
        let url = self.registry.url(self.repository, format_args!("manifests/{}", self.which));
        Registry::request(Method::DELETE, &url).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Deletion, CallError> {
        let status = response.status();
        let says = |code: &str| reasons(response).iter().any(|reason| reason.code == code);
        let is_unsupported = match status {
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
            // Debian's registry takes a tag for a digest that is written wrongly.
            StatusCode::BAD_REQUEST => {
                says("UNSUPPORTED") || matches!(self.which, Which::Tag(_)) && says("DIGEST_INVALID")
            }
            _ => false,
        };
        match status {
            _ if is_unsupported => Ok(Deletion::Unsupported(refusal(&self.registry.base, response).to_string())),
            status if status.is_success() => Ok(Deletion::Deleted),
            StatusCode::NOT_FOUND => Ok(Deletion::WasGone),
            _ => Err(refusal(&self.registry.base, response)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{base, response};

    fn read(which: &str, status: u16, body: &str) -> Result<Deletion, CallError> {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let repository = "team/app".parse().expect("a repository");
        let which = match which.parse::<slipway_wire::Digest>() {
            Ok(digest) => digest.into(),
            Err(_) => Which::Tag(which.parse().expect("a tag")),
        };
        let delete = DeleteManifest { registry: &registry, repository: &repository, which: &which };
        let request = delete.request().expect("a request");
        assert_eq!(request.method(), Method::DELETE);
        assert_eq!(request.uri().to_string(), format!("https://registry.example.com/v2/team/app/manifests/{which}"));
        delete.parse(&response(status, body))
    }

    fn code(code: &str) -> String {
        format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#)
    }

    #[test]
    fn what_is_accepted_is_deleted_and_what_is_not_there_was_gone() {
        let digest = slipway_wire::Digest::of(b"x").to_string();
        for which in ["17.3.1", &digest] {
            for status in [200, 202, 204] {
                assert_eq!(read(which, status, "").expect("accepted"), Deletion::Deleted, "{status}");
            }
            assert_eq!(read(which, 404, &code("MANIFEST_UNKNOWN")).expect("gone"), Deletion::WasGone);
        }
    }

    #[test]
    fn a_registry_that_deletes_nothing_says_so() {
        let digest = slipway_wire::Digest::of(b"x").to_string();
        for (which, status, body) in [
            (digest.as_str(), 405, code("UNSUPPORTED")),
            (&digest, 400, code("UNSUPPORTED")),
            (&digest, 405, "<h1>Method Not Allowed</h1>".to_owned()),
            ("17.3.1", 405, code("UNSUPPORTED")),
            ("17.3.1", 400, code("DIGEST_INVALID")),
        ] {
            let found = read(which, status, &body).expect("an answer");
            assert!(matches!(found, Deletion::Unsupported(_)), "{which} {status} {body}: {found:?}");
        }
    }

    #[test]
    fn a_refusal_and_trouble_are_errors() {
        let digest = slipway_wire::Digest::of(b"x").to_string();
        for (status, body) in [(400, code("DIGEST_INVALID")), (401, code("UNAUTHORIZED")), (403, code("DENIED"))] {
            let error = read(&digest, status, &body).expect_err("no success");
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        }
        assert!(read(&digest, 503, "").expect_err("no success").may_pass());
    }
}
