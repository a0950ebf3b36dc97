//! Pages of a list: `?page` and `?per_page` in, the headers that lead on out.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::LINK};

use crate::query::Query;

/// What a page holds unless asked otherwise.
const PER_PAGE: usize = 30;
/// What a page holds at most; more is lowered without a word.
pub(crate) const PER_PAGE_MAX: usize = 250;

/// Which part of a list was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    pub(crate) fn asked(query: &Query) -> Self {
        let positive = |name: &str| query.get(name).and_then(|value| value.parse::<usize>().ok()).filter(|&n| n > 0);
        Self { number: positive("page").unwrap_or(1), size: positive("per_page").unwrap_or(PER_PAGE).min(PER_PAGE_MAX) }
    }

    pub(crate) fn of<T>(self, list: Vec<T>) -> Vec<T> {
        list.into_iter().skip((self.number - 1).saturating_mul(self.size)).take(self.size).collect()
    }

    /// `Total`, `Per-Page`, `Max-Per-Page`, and `Link` when there is more than one page. `address` is absolute.
    pub(crate) fn headers(self, total: usize, address: &str, query: &Query) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, number) in [("total", total), ("per-page", self.size), ("max-per-page", PER_PAGE_MAX)] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
        }
        let last = total.div_ceil(self.size).max(1);
        let mut links = Vec::new();
        if self.number > 1 {
            links.push((1, "first"));
            links.push((self.number.min(last + 1) - 1, "prev"));
        }
        if self.number < last {
            links.push((last, "last"));
            links.push((self.number + 1, "next"));
        }
        let links: Vec<String> = links
            .into_iter()
            .map(|(number, relation)| {
                let query = query.with("page", &number.to_string()).encoded();
                format!("<{address}?{query}>; rel=\"{relation}\"")
            })
            .collect();
        if last > 1
            && let Ok(links) = HeaderValue::from_str(&links.join(", "))
        {
            headers.insert(LINK, links);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (query, total) → (numbers on the page, Per-Page, Link)
    fn page(query: &str, total: usize) -> (Vec<usize>, String, Option<String>) {
        let query = Query::parse(query);
        let page = Page::asked(&query);
        let headers = page.headers(total, "http://h/x.json", &query);
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(text("total"), Some(total.to_string()));
        assert_eq!(text("max-per-page").as_deref(), Some("250"));
        let per_page = text("per-page").expect("every list says it");
        (page.of((1..=total).collect()), per_page, text("link"))
    }

    #[test]
    fn one_page_has_no_link() {
        assert_eq!(page("", 2), (vec![1, 2], "30".to_owned(), None));
        assert_eq!(page("", 0), (vec![], "30".to_owned(), None));
        assert_eq!(page("", 30).2, None);
        assert_eq!(page("per_page=250", 250).2, None);
    }

    #[test]
    fn more_than_the_maximum_is_lowered_without_a_word() {
        let (numbers, per_page, link) = page("per_page=1000", 251);
        assert_eq!((numbers.len(), per_page.as_str()), (250, "250"));
        let link = link.expect("251 packages are two pages");
        assert!(link.contains(r#"<http://h/x.json?per_page=1000&page=2>; rel="next""#), "{link}");
    }

    #[test]
    fn a_link_leads_to_the_next_page_and_back_and_keeps_the_question() {
        let (numbers, _, link) = page("q=a%2Bb&per_page=2&page=2", 5);
        assert_eq!(numbers, [3, 4]);
        assert_eq!(
            link.as_deref(),
            Some(
                "<http://h/x.json?q=a%2Bb&per_page=2&page=1>; rel=\"first\", \
                 <http://h/x.json?q=a%2Bb&per_page=2&page=1>; rel=\"prev\", \
                 <http://h/x.json?q=a%2Bb&per_page=2&page=3>; rel=\"last\", \
                 <http://h/x.json?q=a%2Bb&per_page=2&page=3>; rel=\"next\""
            )
        );
    }

    #[test]
    fn a_page_that_cannot_be_is_the_first_or_empty() {
        for odd in ["page=0", "page=-1", "page=x", "per_page=0", "per_page=x", "page="] {
            assert_eq!(page(odd, 3).0, [1, 2, 3], "{odd}");
        }
        let (numbers, _, link) = page("page=9&per_page=2", 4);
        assert_eq!(numbers, [0; 0]);
        assert!(!link.expect("there are two pages").contains("next"));
        assert_eq!(page("page=18446744073709551615&per_page=250", 4).0, [0; 0]);
    }
}
