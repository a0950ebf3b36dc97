//! One target beside its release: the target's own page, or what of it is about the target.
//!
//! Which one is shown stands in the address, so that a link shows another person the same. Without scripts, the links that
//! open it lead to the page itself.

use slipway_view::filter::Filter;
use slipway_view::text::segment;
use wasm_bindgen::JsValue;
use web_sys::Element;

use crate::app::{App, judged, text};
use crate::connection::Answer;
use crate::document::{exchange, focus, go_to, show};
use crate::host;
use crate::read::Value as _;

/// The page has none until something is opened. It stands behind everything, where a landmark of its own belongs.
const FRAME: &str = "<aside id=\"panel\" tabindex=\"-1\" aria-label=\"More about it\" hidden>\
    <button type=\"button\" id=\"panel-close\">Close</button><div id=\"panel-content\"></div></aside>";

/// What is open.
#[derive(Default)]
pub(crate) struct Panel {
    /// Its page, as a path.
    path: Option<String>,
    /// What had the focus when it was opened.
    opener: Option<Element>,
}

impl App {
    /// Opens a target's page, or closes what is open, as the address says.
    pub(crate) fn show_selected(&mut self) {
        let Some(live) = &self.live else { return };
        let path = live.filter.selected.as_deref().map(|selected| page_of(&live.path, selected));
        self.open_panel(path);
    }

    /// Opens a page beside this one, or nothing.
    pub(crate) fn open_panel(&mut self, path: Option<String>) {
        if path == self.panel.path {
            return;
        }
        self.panel.path = path;
        if self.panel.path.is_none() {
            self.shut();
            return;
        }
        if self.document.get_element_by_id("panel").is_none()
            && let (Some(body), Some(frame)) = (self.document.body(), host::element(FRAME))
        {
            let _ = body.append_child(&frame);
        }
        let Some(panel) = self.document.get_element_by_id("panel") else { return };
        if panel.has_attribute("hidden") {
            self.panel.opener = self.document.active_element();
        }
        if let Some(content) = self.document.get_element_by_id("panel-content") {
            content.set_text_content(None);
        }
        show(&panel, true);
        go_to(&panel);
        self.look_again();
    }

    /// Closes what is open beside this page. Says whether anything was.
    pub(crate) fn close_panel(&mut self) -> bool {
        let is_open = self.panel.path.is_some();
        self.select(None);
        self.open_panel(None);
        is_open
    }

    /// Asks for the page that is shown.
    pub(crate) fn look_again(&self) {
        if let Some(path) = &self.panel.path {
            host::ask(path, "text/html", "", &self.on_panel);
        }
    }

    /// The page has come.
    pub(crate) fn panel_came(&mut self, answer: &JsValue) {
        // Another may have been opened meanwhile.
        if answer.field("url").and_then(|url| url.text()) != self.panel.path {
            return;
        }
        let Some(content) = self.document.get_element_by_id("panel-content") else { return };
        let page = text(answer).and_then(|html| host::parse(&html));
        let target = page.and_then(|page| page.get_element_by_id("target"));
        let shown = content.query_selector("#target").ok().flatten();
        // What is not there any more, or not for this reader, does not stay beside a page that says that it is live.
        let is_over = matches!(judged(answer), Answer::Refused | Answer::Gone);
        match (target, shown.filter(|_| !is_over)) {
            (Some(target), Some(shown)) => {
                if target.get_attribute("data-mark") != shown.get_attribute("data-mark") {
                    exchange(&self.document, &shown, &target);
                }
            }
            (Some(target), None) => {
                content.set_text_content(None);
                let _ = content.append_child(&target);
            }
            // What was read stays; how old the page is, it says at its top.
            (None, Some(_)) => {}
            (None, None) => {
                let path = self.panel.path.as_deref().unwrap_or_default();
                let html = format!("<p>This cannot be read now. <a href=\"{path}\">Its own page</a> may say why.</p>");
                content.set_text_content(None);
                if let Some(said) = host::parse(&html) {
                    let _ = content.append_child(&said);
                }
            }
        }
        self.ages_at = 0;
    }

    /// Chooses the target that is shown beside the list, and says so in the address.
    pub(crate) fn select(&mut self, selected: Option<String>) {
        let Some(live) = &mut self.live else { return };
        if live.filter.selected == selected {
            return;
        }
        live.filter = Filter { selected, ..live.filter.clone() };
        self.keep_filter(true);
        self.show_selected();
    }

    fn shut(&mut self) {
        let Some(panel) = self.document.get_element_by_id("panel") else { return };
        let had_focus = self.document.active_element().is_some_and(|active| panel.contains(Some(&active)));
        show(&panel, false);
        if let Some(content) = self.document.get_element_by_id("panel-content") {
            content.set_text_content(None);
        }
        let Some(opener) = self.panel.opener.take().filter(|_| had_focus) else { return };
        // A change may have put another element in its place.
        let is_there = self.document.contains(Some(&opener));
        let opener = if is_there { Some(opener) } else { self.document.get_element_by_id(&opener.id()) };
        if let Some(opener) = opener.or_else(|| self.document.get_element_by_id("packages-title")) {
            focus(&opener);
        }
    }
}

/// The page of a release's target. What the address names is never more than that, whatever somebody wrote into a link.
fn page_of(release: &str, selected: &str) -> String {
    let mut path = format!("{release}/t");
    for part in selected.split('/').filter(|part| !matches!(*part, "" | "." | "..")) {
        path.push('/');
        path.push_str(&segment(part));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_names_a_target_leads_to_a_page_of_that_release_and_nowhere_else() {
        for (selected, path) in [
            ("tug-el-9/el/9", "/p/tug/r/1/t/tug-el-9/el/9"),
            ("app/1.2.0+rc", "/p/tug/r/1/t/app/1.2.0%2Brc"),
            ("../../../../sign-out", "/p/tug/r/1/t/sign-out"),
            ("//evil.example/x", "/p/tug/r/1/t/evil.example/x"),
            ("a?b#c%2e", "/p/tug/r/1/t/a%3Fb%23c%252e"),
        ] {
            assert_eq!(page_of("/p/tug/r/1", selected), path);
        }
    }
}
