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
/// How many tags a repository may have: all of them are held at once, by a Worker that has 128 MB for everything.
const TAGS_MAX: usize = 200_000;
/// Some registries give less than a page should have.
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
        let mut url = self.registry.url(self.repository, format_args!("tags/list?n={PER_PAGE}"));
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
        // A registry may give all of them at once. There is no comma in a tag.
        if response.body().split(|byte| *byte == b',').count() > TAGS_MAX {
            return Err(unreadable(&self.registry.base, too_many(self.repository)));
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

fn too_many(repository: &Repository) -> String {
    format!("`{repository}` has more than {TAGS_MAX} tags; delete those that nobody needs")
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
            _ if found.len() > TAGS_MAX => return Err(unreadable(&registry.base, too_many(repository))),
            Some(next) if found.len() > before => after = Some(next),
            _ => return Ok(found),
        }
    }
    Err(unreadable(&registry.base, format!("its list of the tags of `{repository}` has no end")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Script, base, now, response, with_header};

    const LIST: &str = "https://registry.example.com/v2/team/app/tags/list?n=1000";

    fn list(answer: impl Fn(&str) -> Response) -> (Result<Vec<String>, CallError>, usize) {
        let registry = Registry::anonymous(base("https://registry.example.com"));
        let session = Session::new(&registry);
        let http = Script::new(|request: &Request| answer(&request.uri().to_string()));
        let found = now(list_tags(&session, &http, &"team/app".parse().expect("a repository")));
        (found.map(|tags| tags.iter().map(ToString::to_string).collect()), http.asked().len())
    }

    #[test]
    fn pages_are_followed_however_their_link_is_written() {
        for link in [
            r#"</v2/team/app/tags/list?last=b&n=2>; rel="next""#,
            r#"<https://registry.example.com/v2/team/app/tags/list?last=b&n=2>; rel="next""#,
            "http://registry.example.com/v2/team/app/tags/list?last=b; rel=next",
        ] {
            let (found, asked) = list(|url| {
                if url == LIST {
                    with_header(200, "link", link, r#"{"name":"team/app","tags":["b","a"]}"#)
                } else {
                    assert_eq!(url, format!("{LIST}&last=b"));
                    response(200, r#"{"name":"team/app","tags":["c"]}"#)
                }
            });
            assert_eq!((found.expect(link), asked), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], 2));
        }
    }

    #[test]
    fn a_link_behind_which_is_nothing_new_is_the_end() {
        // Debian's registry gives every tag at once whatever is asked; distribution 3 names a next page that is empty.
        for second in [r#"{"tags":["a"]}"#, r#"{"tags":[]}"#, r#"{"tags":null}"#] {
            let (found, asked) = list(|url| {
                let body = if url == LIST { r#"{"tags":["a"]}"# } else { second };
                with_header(200, "link", "</x>; rel=next", body)
            });
            assert_eq!((found.expect(second), asked), (vec!["a".to_owned()], 2));
        }
    }

    #[test]
    fn a_list_without_an_end_is_given_up() {
        let pages = std::cell::Cell::new(0);
        let (found, asked) = list(|_| {
            pages.set(pages.get() + 1);
            with_header(200, "link", "</x>; rel=next", &format!(r#"{{"tags":["t{:06}"]}}"#, pages.get()))
        });
        assert!(found.expect_err("no end").to_string().contains("has no end"));
        assert_eq!(asked, PAGES_MAX);
    }

    #[test]
    fn a_repository_that_is_not_there_has_no_tags() {
        assert_eq!(list(|_| response(404, "")).0.expect("none"), Vec::<String>::new());
        assert_eq!(list(|_| response(200, r#"{"tags":null}"#)).0.expect("none"), Vec::<String>::new());
        assert!(list(|_| response(200, r#"{"tags":["a b"]}"#)).0.is_err());
        assert!(list(|_| response(403, "")).0.is_err());
    }
}
