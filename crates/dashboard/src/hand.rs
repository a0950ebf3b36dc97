//! What the reader's hand does: it presses, it types, it chooses what to see.

use slipway_core::release::TargetState;
use slipway_view::filter::Filter;
use slipway_view::page::shown_words;
use slipway_view::text::decoded;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Element, HtmlElement, HtmlInputElement, KeyboardEvent, MouseEvent};

use crate::app::{App, now, target};
use crate::document::{all, count, go_to, show, write};
use crate::host;
use crate::keys::{Key, Pressed, meaning};

/// How long a `g` waits for the letter of a page.
const GO_MS: u64 = 1_500;
/// Where all projects are searched.
const SEARCH: &str = "form[action='/search'] input";
/// What only a person mends.
const EXCEPTIONS: [TargetState; 3] = [TargetState::Conflict, TargetState::Failed, TargetState::Missing];

impl App {
    /// Shows what the address says.
    pub(crate) fn follow_address(&mut self) {
        let query = self.window.location().search().unwrap_or_default();
        if self.live.is_none() {
            return;
        }
        self.set_filter(Filter::from_query(&query));
        self.write_words();
        self.show_selected();
    }

    /// Lets the page follow a changed filter.
    fn set_filter(&mut self, filter: Filter) {
        let Some(live) = &mut self.live else { return };
        live.filter = filter;
        for link in all(&self.document, "a[data-filter]") {
            let name = link.get_attribute("data-filter").unwrap_or_default();
            let _ = link.set_attribute("href", &format!("{}{}", live.path, live.filter.pressed(&name).query()));
            if live.filter.has(&name) {
                let _ = link.set_attribute("aria-current", "true");
            } else {
                let _ = link.remove_attribute("aria-current");
            }
            if let Some(item) = link.parent_element().filter(|_| name.is_empty()) {
                show(&item, !live.filter.is_empty());
            }
        }
        self.show_filtered();
    }

    /// Puts the filter into the address, so that it can be sent to somebody. What was opened can be left by going back.
    pub(crate) fn keep_filter(&self, is_step: bool) {
        let Some(live) = &self.live else { return };
        let hash = self.window.location().hash().unwrap_or_default();
        let address = format!("{}{}{hash}", live.path, live.filter.query());
        if let Ok(history) = self.window.history() {
            let _ = if is_step {
                history.push_state_with_url(&JsValue::NULL, "", Some(&address))
            } else {
                history.replace_state_with_url(&JsValue::NULL, "", Some(&address))
            };
        }
    }

    pub(crate) fn show_filtered(&self) {
        let Some(live) = &self.live else { return };
        for row in all(&self.document, ".target") {
            let state = row.get_attribute("data-state").and_then(|code| code.parse().ok());
            let find = row.get_attribute("data-find").unwrap_or_default();
            show(&row, state.is_none_or(|state| live.filter.shows(state, &find)));
        }
        self.say_shown();
    }

    /// Says how many targets there are to see.
    pub(crate) fn say_shown(&self) {
        let all_targets = count(&self.document, ".target");
        write(&self.document, "shown", &shown_words(count(&self.document, ".target:not([hidden])"), all_targets));
        for filters in all(&self.document, ".filters") {
            show(&filters, all_targets > 0);
        }
    }

    /// What the reader sees from now on, and where that stands.
    fn choose(&mut self, filter: Filter) {
        self.set_filter(filter);
        self.write_words();
        self.keep_filter(false);
    }

    fn write_words(&self) {
        if let (Some(live), Some(input)) = (&self.live, self.words_input()) {
            input.set_value(&live.filter.words);
        }
    }

    fn words_input(&self) -> Option<HtmlInputElement> {
        self.document.get_element_by_id("filter-words")?.dyn_into().ok()
    }

    pub(crate) fn click(&mut self, event: &JsValue) {
        let (Some(event), Some(element)) = (event.dyn_ref::<MouseEvent>(), target(event)) else { return };
        let pressed = |selector: &str| element.closest(selector).ok().flatten();
        if pressed("#pause").is_some() {
            return self.toggle_pause();
        }
        if pressed("#panel-close").is_some() {
            self.close_panel();
            return;
        }
        if let Some(button) = pressed("[data-copy]") {
            return self.copy(&button);
        }
        if self.refuse_if_old(event) {
            return;
        }
        // A link pressed with a key that opens it elsewhere is the browser's.
        if event.ctrl_key() || event.meta_key() || event.shift_key() || event.button() != 0 {
            return;
        }
        let Some(live) = &self.live else { return };
        if let Some(link) = pressed("a[data-filter]") {
            event.prevent_default();
            let name = link.get_attribute("data-filter").unwrap_or_default();
            let filter = live.filter.pressed(&name);
            self.choose(filter);
            if name.is_empty()
                && let Some(input) = self.words_input()
            {
                let _ = input.focus();
            }
            return;
        }
        // What is open beside the release leads away from it.
        let Some(link) = pressed("a[href]:not(#panel a)").and_then(|link| link.get_attribute("href")) else { return };
        if self.open_target(&link) {
            event.prevent_default();
        }
    }

    /// Keeps a press from leading to an action while the page is old. Says whether it did.
    pub(crate) fn refuse_if_old(&self, event: &JsValue) -> bool {
        let pressed = target(event).and_then(|element| element.closest(".act, .plays a").ok().flatten());
        let is_refused = pressed.is_some() && self.is_stale();
        if let Some(event) = event.dyn_ref::<web_sys::Event>().filter(|_| is_refused) {
            event.prevent_default();
            self.say("Not while the page is old: what it offers may not be so any more.");
        }
        is_refused
    }

    /// Copies what the button names, or what stands behind it. What is old says so wherever it goes.
    fn copy(&self, button: &Element) {
        let named = button.get_attribute("data-copy").filter(|id| !id.is_empty());
        let source = named.map_or_else(|| button.next_element_sibling(), |id| self.document.get_element_by_id(&id));
        let mut text = source.and_then(|source| source.text_content()).unwrap_or_default();
        if let Some(freshness) = self.document.get_element_by_id("freshness").filter(|_| self.is_stale()) {
            text.push_str("\n\n");
            text.push_str(&freshness.text_content().unwrap_or_default());
        }
        host::copy(&text, &self.on_copied);
    }

    pub(crate) fn key(&mut self, event: &JsValue) {
        let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
        let place = self.place();
        let now = now();
        let key = event.key();
        let meant = meaning(Pressed {
            key: &key,
            with_control: event.ctrl_key() || event.meta_key(),
            with_alt: event.alt_key(),
            is_typing: target(event)
                .is_some_and(|element| matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")),
            is_in_table: place.is_some(),
            after_go: now < self.go_until,
            has_keys: self.has_keys,
        });
        let Some(meant) = meant else { return };
        self.go_until = 0;
        if self.act(meant, place, now) {
            event.prevent_default();
        }
    }

    /// Does what a key asks for. Says whether there was anything to do.
    fn act(&mut self, key: Key, place: Option<Element>, now: u64) -> bool {
        match key {
            Key::Filter => self.write_into("#filter-words") || self.write_into(SEARCH),
            Key::Search => self.write_into(SEARCH) || self.leave("/search"),
            Key::Help if self.live.is_some() => {
                self.open_panel(Some("/help/keys".to_owned()));
                true
            }
            Key::Help => self.leave("/help/keys"),
            Key::Move(columns, rows) => self.move_by(place, columns, rows),
            Key::Open => place.is_some_and(|place| self.open_place(&place)),
            Key::Close => self.close_panel(),
            Key::Leave => {
                let field = self.document.active_element().and_then(|field| field.dyn_into::<HtmlElement>().ok());
                field.is_some_and(|field| field.blur().is_ok())
            }
            Key::Need { is_next } => self.go_to_need(is_next),
            Key::Exceptions => {
                let Some(live) = &self.live else { return false };
                let states = if live.filter.states == EXCEPTIONS { Vec::new() } else { EXCEPTIONS.into() };
                self.choose(Filter { states, ..live.filter.clone() });
                true
            }
            Key::CopyLink => {
                host::copy(&self.window.location().href().unwrap_or_default(), &self.on_copied);
                true
            }
            Key::Pause => {
                self.toggle_pause();
                true
            }
            Key::Go => {
                self.go_until = now + GO_MS;
                true
            }
            Key::Page("") => self.leave("/"),
            Key::Page(page) => {
                let path = self.window.location().pathname().unwrap_or_default();
                // `/p/PROJECT` is where a project's other pages begin.
                let mut parts = path.split('/');
                match (parts.nth(1), parts.next()) {
                    (Some("p"), Some(project)) => self.leave(&format!("/p/{project}/{page}")),
                    _ => false,
                }
            }
        }
    }

    fn leave(&self, path: &str) -> bool {
        self.window.location().assign(path).is_ok()
    }

    /// Puts the cursor into a field.
    fn write_into(&self, selector: &str) -> bool {
        let Ok(Some(found)) = self.document.query_selector(selector) else { return false };
        let Ok(input) = found.dyn_into::<HtmlInputElement>() else { return false };
        input.select();
        input.focus().is_ok()
    }

    /// The row or cell that has the focus, or that what has it is in.
    fn place(&self) -> Option<Element> {
        self.document.active_element()?.closest("#packages td, #packages th, #packages tr").ok()?
    }

    /// Goes to the cell or the row beside.
    fn move_by(&self, place: Option<Element>, columns: i32, rows: i32) -> bool {
        let all_rows: Vec<Element> = all(&self.document, "#packages tbody tr:not([hidden])");
        let row = place.as_ref().and_then(|place| place.closest("tr").ok().flatten());
        let at = row.as_ref().and_then(|row| all_rows.iter().position(|one| one == row));
        let Some(at) = at else { return all_rows.first().is_some_and(|row| enter(row, 0)) };
        let column = place.filter(|place| Some(place) != row.as_ref()).map_or(0, |cell| before(&cell));
        if rows != 0 {
            // Cells without anything in them are passed over.
            let mut beside = at;
            loop {
                let next = if rows > 0 { beside.checked_add(1) } else { beside.checked_sub(1) };
                let Some(row) = next.and_then(|next| all_rows.get(next)) else { return true };
                beside = next.unwrap_or_default();
                if enter(row, column) {
                    return true;
                }
            }
        }
        let (Some(row), 1..) = (row, columns.unsigned_abs()) else { return true };
        let mut beside = column;
        loop {
            let next = if columns > 0 { beside.checked_add(1) } else { beside.checked_sub(1) };
            let Some(cell) = next.and_then(|next| child(&row, next)) else { return true };
            beside = next.unwrap_or_default();
            if let Some(link) = link_in(&cell) {
                go_to(&link);
                return true;
            }
        }
    }

    /// Opens what a row or a cell leads to.
    fn open_place(&mut self, place: &Element) -> bool {
        // A link that has the focus opens by itself.
        if self.document.active_element().is_none_or(|active| active.tag_name() != "TR") {
            return false;
        }
        let Some(link) = link_in(place).and_then(|link| link.get_attribute("href")) else { return false };
        self.open_target(&link)
    }

    /// Opens a target beside its release. Says whether the link leads to one.
    fn open_target(&mut self, link: &str) -> bool {
        let rest = self.live.as_ref().and_then(|live| link.strip_prefix(&live.path)?.strip_prefix("/t/"));
        let Some(selected) = rest.map(decoded) else { return false };
        self.select(Some(selected));
        true
    }

    /// Goes to what needs somebody, around and around.
    fn go_to_need(&self, is_next: bool) -> bool {
        let needs: Vec<Element> = all(&self.document, "#needs .need").iter().filter_map(link_in).collect();
        let active = self.document.active_element();
        let at = needs.iter().position(|need| Some(need) == active.as_ref());
        let last = needs.len().saturating_sub(1);
        let next = match (at, is_next) {
            (Some(at), true) if at < last => at + 1,
            (Some(at), false) if at > 0 => at - 1,
            (_, true) => 0,
            (_, false) => last,
        };
        let Some(need) = needs.get(next) else { return false };
        go_to(need);
        true
    }

    pub(crate) fn input(&mut self, event: &JsValue) {
        let Some(input) = target(event).and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        if input.closest("#keys").is_ok_and(|keys| keys.is_some()) {
            self.set_keys(input.checked());
        } else if input.id() == "filter-words"
            && let Some(live) = &self.live
        {
            self.set_filter(Filter { words: input.value().trim_ascii().to_owned(), ..live.filter.clone() });
            self.keep_filter(false);
        }
    }

    /// What the filter's form would ask the edge for is shown already. All other forms are the edge's.
    pub(crate) fn submit(&self, event: &JsValue) {
        if let Some(event) = event.dyn_ref::<web_sys::Event>().filter(|_| self.live.is_some())
            && target(event).is_some_and(|form| form.id() == "filter")
        {
            event.prevent_default();
        }
    }
}

/// The cell of a row at a place.
fn child(row: &Element, place: usize) -> Option<Element> {
    row.children().item(u32::try_from(place).ok()?)
}

/// How many elements stand before this one.
fn before(element: &Element) -> usize {
    std::iter::successors(element.previous_element_sibling(), Element::previous_element_sibling).count()
}

fn link_in(element: &Element) -> Option<Element> {
    element.query_selector("a[href]").ok()?
}

/// Goes into a row: to the cell of a column, or to the row itself when the row is one target. Says whether there was
/// anything to go to.
fn enter(row: &Element, column: usize) -> bool {
    if row.class_list().contains("target") {
        go_to(row);
        return true;
    }
    let cell = (column > 0).then(|| child(row, column)).flatten();
    match cell.as_ref().map_or_else(|| link_in(row), link_in) {
        Some(link) => go_to(&link),
        None => return false,
    }
    true
}
