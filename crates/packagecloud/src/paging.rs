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
