//! Pages of a list: the next one is named only in the `Link` header, and a single page has none.

use http::header::LINK;
use slipway_wire::{Base, CallError, Response};

use crate::answer::unreadable;

/// The number of the page after `page`, if the answer names one.
///
/// Only the number is taken from the link; the address is built anew. A link to elsewhere is refused all the same: an
/// installation that gives one is not the one it seems to be.
pub(crate) fn next_page(base: &Base, response: &Response, page: u32) -> Result<Option<u32>, CallError> {
    for value in response.headers().get_all(LINK) {
        let value = value.to_str().map_err(|_| unreadable(base, "its `Link` header is not text"))?;
        let Some(url) = next_link(value) else { continue };
        let here = base.serves(url) || (url.starts_with('/') && !url.starts_with("//"));
        if !here {
            return Err(unreadable(base, "the next page of its list is at another host"));
        }
        let next = page_number(url).ok_or_else(|| unreadable(base, "the next page of its list has no number"))?;
        if next <= page {
            return Err(unreadable(base, format!("its list goes in a circle, from page {page} to page {next}")));
        }
        return Ok(Some(next));
    }
    Ok(None)
}

/// The target of `rel="next"` in one `Link` value (RFC 8288). Targets may hold commas and semicolons.
fn next_link(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (url, after) = rest.split_once('<')?.1.split_once('>')?;
        let mut quoted = false;
        let end = after.find(|c: char| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let (parameters, others) = after.split_at(end.unwrap_or(after.len()));
        if parameters.split(';').any(is_next) {
            return Some(url.trim());
        }
        rest = others;
    }
}

/// Whether a link's parameter is `rel` and says `next`, perhaps among others.
fn is_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel")
            && value.trim().trim_matches('"').split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next"))
    })
}

/// The value of `page` in an address's query.
fn page_number(url: &str) -> Option<u32> {
    let query = url.split_once('?')?.1.split('#').next()?;
    query.split('&').find_map(|pair| pair.strip_prefix("page="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{base, with_header};

    fn next(link: &str) -> Result<Option<u32>, CallError> {
        next_page(&base("https://packages.example.com"), &with_header(200, "link", link, "[]"), 2)
    }

    #[test]
    fn the_next_page_is_read_from_the_link_header() {
        let here = "https://packages.example.com/api/v1/repos/a/b/search.json";
        for (link, page) in [
            (format!(r#"<{here}?page=3>; rel="next", <{here}?page=9>; rel="last""#), Some(3)),
            (format!(r#"<{here}?page=9>; rel="last", <{here}?per_page=250&page=3&q=x>; rel="next""#), Some(3)),
            (format!("<{here}?page=3>;rel=next"), Some(3)),
            (format!(r#"<{here}?page=3>; title="a, <b>; c"; REL="last Next""#), Some(3)),
            (format!(r#"<{here}?q=a,b;c&page=3>; rel="next""#), Some(3)),
            (r#"</api/v1/repos/a/b/search.json?page=3>; rel="next""#.to_owned(), Some(3)),
            (r#"<https://PACKAGES.example.com:443/x?page=3>; rel="next""#.to_owned(), Some(3)),
            (format!(r#"<{here}?page=1>; rel="first", <{here}?page=1>; rel="prev""#), None),
            (format!(r#"<{here}?page=3>; rel="nextish""#), None),
            (String::new(), None),
            ("<".to_owned(), None),
            ("rel=next".to_owned(), None),
        ] {
            assert_eq!(next(&link).expect(&link), page, "{link}");
        }
    }

    #[test]
    fn a_next_page_elsewhere_is_refused() {
        for url in [
            "https://evil.test/api/v1/repos/a/b/search.json?page=3",
            "http://packages.example.com/search.json?page=3",
            "https://packages.example.com:8443/search.json?page=3",
            "https://packages.example.com@evil.test/?page=3",
            "//evil.test/?page=3",
            "search.json?page=3",
        ] {
            let error = next(&format!(r#"<{url}>; rel="next""#)).expect_err(url);
            assert!(error.to_string().contains("another host"), "{error}");
        }
    }

    #[test]
    fn pages_only_go_forward() {
        for query in ["page=2", "page=1", "page=0"] {
            let error = next(&format!(r#"<https://packages.example.com/x?{query}>; rel="next""#)).expect_err(query);
            assert!(error.to_string().contains("circle"), "{error}");
        }
        for query in ["", "page=", "page=-3", "page=x", "page=99999999999", "xpage=3"] {
            let error = next(&format!(r#"<https://packages.example.com/x?{query}>; rel="next""#)).expect_err(query);
            assert!(error.to_string().contains("no number"), "{error}");
        }
    }
}
