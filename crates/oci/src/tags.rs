//! `GET /v2/{repository}/tags/list`: the tags of a repository
//! (OCI distribution specification 1.1, "Listing tags").

use std::collections::BTreeSet;

use http::header::LINK;
use http::{Method, StatusCode};
use serde::Deserialize;
use slipway_wire::{CallError, Endpoint, Http, Request, Response};

use crate::answer::{refusal, unreadable};
use crate::name::{Repository, Tag};
use crate::registry::Registry;
use crate::session::{Scope, Session};

/// How many tags a page should have.
const PER_PAGE: usize = 1000;
/// How many pages are read at most: a million tags.
const PAGES_MAX: usize = 1000;

/// One page of tags, after a tag.
#[derive(Clone, Debug)]
struct ListTags<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    after: Option<Tag>,
}

/// A page, and the last tag of it if there may be more.
struct Page {
    tags: Vec<Tag>,
    next: Option<Tag>,
}

impl Endpoint for ListTags<'_> {
    type Output = Page;

    fn request(&self) -> Result<Request, http::Error> {
        let mut url = format!("{}?n={PER_PAGE}", self.registry.url(self.repository, ["tags", "list"]));
        if let Some(after) = &self.after {
            url = format!("{url}&last={after}");
        }
        Registry::request(Method::GET, &url).body(Vec::new())
    }

    fn parse(&self, response: &Response) -> Result<Page, CallError> {
        #[derive(Deserialize)]
        struct Body {
            /// `null` where there are none.
            tags: Option<Vec<String>>,
        }
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Page { tags: Vec::new(), next: None }),
            _ => return Err(refusal(&self.registry.base, response)),
        }
        let body: Body = serde_json::from_slice(response.body())
            .map_err(|error| unreadable(&self.registry.base, format!("its list of tags: {error}")))?;
        let tags = body.tags.unwrap_or_default();
        let tags = tags.iter().map(|tag| tag.parse()).collect::<Result<Vec<Tag>, _>>();
        let tags = tags.map_err(|error| unreadable(&self.registry.base, error.to_string()))?;
        // Registries write this header in many ways, and some where nothing follows. The address in it is built anew from
        // the last tag, so only that there is one counts.
        let next = response.headers().get(LINK).and(tags.iter().max().cloned());
        Ok(Page { tags, next })
    }
}

/// Every tag of a repository. None when the registry does not know the repository.
pub async fn list_tags(
    session: &Session<'_>,
    http: &impl Http,
    repository: &Repository,
) -> Result<BTreeSet<Tag>, CallError> {
    let registry = session.registry();
    let scope = Scope::pull(repository);
    let mut found = BTreeSet::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = session.call(http, &scope, &ListTags { registry, repository, after }).await?;
        let before = found.len();
        found.extend(page.tags);
        // A page that brings nothing new is the end, whatever its header says.
        match page.next {
            Some(next) if found.len() > before => after = Some(next),
            _ => return Ok(found),
        }
    }
    Err(unreadable(&registry.base, format!("its list of the tags of `{repository}` has no end")))
}
