//! The page's elements: finding them, and replacing one without taking the reader's place away.

use std::cell::Cell;

use slipway_view::section::Part;
use slipway_view::text::{Moment, ago};
use wasm_bindgen::JsCast as _;
use web_sys::{Document, DocumentFragment, Element, FocusOptions, HtmlElement};

use crate::app::now;
use crate::host;

/// The elements that a selector names, in the document's order.
pub(crate) fn all(document: &Document, selector: &str) -> Vec<Element> {
    document.document_element().map(|root| within(&root, selector)).unwrap_or_default()
}

/// Those of them that are within an element.
fn within(element: &Element, selector: &str) -> Vec<Element> {
    let Ok(found) = element.query_selector_all(selector) else { return Vec::new() };
    (0..found.length()).filter_map(|index| found.item(index)?.dyn_into().ok()).collect()
}

thread_local! {
    /// How far this browser's clock is behind the edge's, in seconds.
    static BEHIND: Cell<i64> = const { Cell::new(0) };
}

/// The edge has just said what time it is. Ages are counted by its clock, since the times are its own.
pub(crate) fn set_clock(at: &str) {
    if let Some(at) = Moment::parse(at) {
        BEHIND.set(at.seconds() - i64::try_from(now() / 1_000).unwrap_or_default());
    }
}

/// The edge's time, in seconds since 1970.
pub(crate) fn now_seconds() -> i64 {
    i64::try_from(now() / 1_000).unwrap_or_default() + BEHIND.get()
}

/// How many elements a selector names.
pub(crate) fn count(document: &Document, selector: &str) -> usize {
    let found = document.document_element().and_then(|root| root.query_selector_all(selector).ok());
    found.map_or(0, |found| usize::try_from(found.length()).unwrap_or_default())
}

/// Replaces a part whose mark has changed. Says whether it has.
pub(crate) fn replace_part(document: &Document, part: &Part) -> bool {
    let Some(element) = document.get_element_by_id(&part.id) else { return false };
    if element.get_attribute("data-mark").as_deref() == Some(&part.mark) {
        return false;
    }
    replace(document, &element, &part.html.0);
    true
}

/// Replaces an element by what markup describes.
pub(crate) fn replace(document: &Document, element: &Element, html: &str) {
    if let Some(new) = host::element(html) {
        exchange(document, element, &new);
    }
}

/// Replaces an element. The focus goes to the element that has the same id as the one that had it, or else to the new
/// element, so that it stays in what is open beside the page; a browser would put it on `<body>`, at the top of the page.
/// What was unfolded stays so.
pub(crate) fn exchange(document: &Document, element: &Element, new: &Element) {
    let id = element.id();
    let focused = document.active_element().filter(|active| element.contains(Some(active))).map(|active| active.id());
    let unfolded: Vec<String> = within(element, "details[open]").iter().map(Element::id).collect();
    date(new, now_seconds());
    let _ = element.replace_with_with_node_1(new);
    for id in unfolded {
        if let Some(details) = document.get_element_by_id(&id) {
            let _ = details.set_attribute("open", "");
        }
    }
    if let Some(focused) = focused {
        let is_beside = new.closest("#panel").is_ok_and(|panel| panel.is_some());
        let title = (!is_beside).then(|| "packages-title".to_owned());
        for candidate in
            [Some(focused), Some(id), title].iter().flatten().filter_map(|id| document.get_element_by_id(id))
        {
            focus(&candidate);
            if document.active_element().as_ref() == Some(&candidate) {
                return;
            }
        }
        let _ = new.set_attribute("tabindex", "-1");
        focus(new);
    }
}

/// Takes from the page as it is now every part that only the edge makes. A part in which somebody writes is left alone.
pub(crate) fn take(document: &Document, page: &DocumentFragment) {
    for element in all(document, "[data-refresh]") {
        let Some(new) = page.get_element_by_id(&element.id()) else { continue };
        let is_written_in = document.active_element().is_some_and(|active| {
            element.contains(Some(&active)) && matches!(active.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
        });
        if !is_written_in && new.get_attribute("data-mark") != element.get_attribute("data-mark") {
            exchange(document, &element, &new);
        }
    }
}

/// When the edge has made a page, and whom for, as it says itself. Nobody else's page has that time.
pub(crate) fn made<E>(find: impl Fn(&str) -> Result<Option<Element>, E>) -> (Option<String>, Option<String>) {
    let found = |selector: &str| find(selector).ok().flatten();
    let at = found("#freshness").and_then(|freshness| freshness.get_attribute("data-at"));
    (at, found(".f-reader").and_then(|reader| reader.text_content()))
}

/// Takes from the page as it is now, made at `at`, what is said of it as a whole: its time, its title and its icon.
pub(crate) fn take_head(document: &Document, page: &DocumentFragment, at: &str) {
    set_clock(at);
    let found = |selector: &str| page.query_selector(selector).ok().flatten();
    if let Some(title) = found("title").and_then(|title| title.text_content()) {
        document.set_title(&title);
    }
    if let (Some(new), Some(icon)) = (found("#icon"), document.get_element_by_id("icon")) {
        write_attribute(&icon, "href", &new.get_attribute("href").unwrap_or_default());
    }
}

/// Focuses an element where it is, without scrolling to it.
pub(crate) fn focus(element: &Element) {
    if let Some(element) = element.dyn_ref::<HtmlElement>() {
        let options = FocusOptions::new();
        options.set_prevent_scroll(true);
        let _ = element.focus_with_options(&options);
    }
}

/// Focuses an element, and brings it into view.
pub(crate) fn go_to(element: &Element) {
    if let Some(element) = element.dyn_ref::<HtmlElement>() {
        let _ = element.focus();
    }
}

/// Writes every time as how long ago it was.
pub(crate) fn write_ages(document: &Document) {
    if let Some(root) = document.document_element() {
        date(&root, now_seconds());
    }
}

/// Writes the times in an element as how long ago they were; the absolute one stays at hand in its title.
fn date(element: &Element, now_seconds: i64) {
    for element in within(element, "time") {
        let Some(text) = element.get_attribute("datetime") else { continue };
        let Some(moment) = Moment::parse(&text) else { continue };
        let shown = ago(now_seconds, moment.seconds()).unwrap_or_else(|| moment.minute());
        if element.text_content().as_deref() != Some(&shown) {
            element.set_text_content(Some(&shown));
            let _ = element.set_attribute("title", &moment.second());
        }
    }
}

/// Writes text, unless it is there already: a live region repeats what is written again.
pub(crate) fn write(document: &Document, id: &str, text: &str) {
    if let Some(element) = document.get_element_by_id(id)
        && element.text_content().as_deref() != Some(text)
    {
        element.set_text_content(Some(text));
    }
}

/// Writes an attribute, unless it is there already: an icon would be loaded again.
pub(crate) fn write_attribute(element: &Element, name: &str, value: &str) {
    if element.get_attribute(name).as_deref() != Some(value) {
        let _ = element.set_attribute(name, value);
    }
}

/// Shows or hides an element.
pub(crate) fn show(element: &Element, is_shown: bool) {
    flag(element, "hidden", !is_shown);
}

/// Gives an element an attribute without a value, or takes it away.
pub(crate) fn flag(element: &Element, name: &str, is_set: bool) {
    let _ = element.toggle_attribute_with_force(name, is_set);
}
