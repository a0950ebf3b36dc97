//! The page at work: its listeners, its one timer, and what it says of itself.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::Function;
use slipway_view::filter::Filter;
use slipway_view::page::{Freshness, freshness};
use slipway_view::text::Moment;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{CloseEvent, Document, Element, EventTarget, HtmlInputElement, Window};

use crate::announce::{self, Changes};
use crate::connection::{Answer, Event};
use crate::document::{all, count, flag, made, now_seconds, show, take, take_head, write, write_ages};
use crate::host;
use crate::live::Live;
use crate::panel::Panel;
use crate::read::Value as _;
use crate::refresh::{self, Refresh};

/// Times that say how long ago something was are written again this often.
const AGES_EVERY_MS: u64 = 20_000;
/// How long a word that something is in the clipboard stays.
const COPIED_MS: u64 = 2_000;
/// Remembers a reader who has switched the keys off.
const KEYS: &str = "slipway-keys";
/// What the page's title begins with while it may be wrong: most of all, titles are read where pages are not.
const OLD: &str = "Old · ";
/// For longer than this, no answer makes the page wait.
const WAIT_MAX_MS: u64 = 10 * 60_000;

/// A page, and what it waits for.
pub(crate) struct App {
    pub(crate) me: Weak<RefCell<Self>>,
    pub(crate) window: Window,
    pub(crate) document: Document,
    /// The release that the page is about.
    pub(crate) live: Option<Live>,
    pub(crate) refresh: Refresh,
    /// When the edge made the page that its parts were taken from last.
    page_at: String,
    pub(crate) panel: Panel,
    pub(crate) on_open: Function,
    pub(crate) on_message: Function,
    pub(crate) on_close: Function,
    pub(crate) on_polled: Function,
    pub(crate) on_panel: Function,
    pub(crate) on_copied: Function,
    on_page: Function,
    on_time: Function,
    timer: Option<i32>,
    pub(crate) ages_at: u64,
    copied_until: Option<u64>,
    pub(crate) changes: Changes,
    said_at: u64,
    pub(crate) has_keys: bool,
    /// Until when the next key names a page.
    pub(crate) go_until: u64,
    kind: Option<Freshness>,
    /// What `#freshness` shows.
    shown_freshness: String,
}

/// Takes over the page that it was loaded with.
pub(crate) fn begin() {
    let Some(app) = App::new() else { return };
    if let Ok(mut app) = app.try_borrow_mut() {
        app.listen();
        app.reveal();
        app.follow_address();
        app.on(Event::Begun);
        // It may have been opened for later, behind another one.
        if app.document.hidden() {
            app.seen(false);
        }
        app.settle();
    }
    // The page's life is the program's.
    std::mem::forget(app);
}

impl App {
    fn new() -> Option<Rc<RefCell<Self>>> {
        let window = web_sys::window()?;
        let document = window.document()?;
        let now = now();
        let page_at = made(|selector| document.query_selector(selector)).0.unwrap_or_default();
        let at = Moment::parse(&page_at).and_then(|moment| u64::try_from(moment.seconds()).ok());
        let at = at.map_or(now, |seconds| seconds * 1_000);
        let query = window.location().search().unwrap_or_default();
        let live = Live::of(&document, Filter::from_query(&query), &page_at, at);
        let seconds = all(&document, "[data-refresh]")
            .into_iter()
            .filter_map(|element| element.get_attribute("data-refresh")?.parse::<u64>().ok())
            .min();
        let every_ms = seconds.filter(|_| live.is_none()).map(|seconds| seconds.max(1) * 1_000);
        let targets = u64::try_from(count(&document, ".target")).unwrap_or_default();
        let has_keys = !storage_says_off(&window);
        Some(Rc::new_cyclic(|me: &Weak<RefCell<Self>>| {
            RefCell::new(Self {
                me: me.clone(),
                window,
                document,
                live,
                refresh: Refresh::new(at, every_ms, targets, now),
                page_at,
                panel: Panel::default(),
                on_open: function(me, |app, _| app.on(Event::Opened)),
                on_message: function(me, |app, event| app.message(&event)),
                on_close: function(me, |app, event| {
                    let code = event.dyn_into::<CloseEvent>().map_or(1006, |event| event.code());
                    app.on(Event::Closed(code));
                }),
                on_polled: function(me, |app, answer| app.polled(&answer)),
                on_panel: function(me, |app, answer| app.panel_came(&answer)),
                on_copied: function(me, |app, is_copied| app.copied(is_copied.is_truthy())),
                on_page: function(me, |app, answer| app.page_came(&answer)),
                on_time: function(me, |app, _| app.time_has_come()),
                timer: None,
                ages_at: 0,
                copied_until: None,
                changes: Changes::default(),
                said_at: 0,
                has_keys,
                go_until: 0,
                kind: None,
                shown_freshness: String::new(),
            })
        }))
    }

    /// Listens to the page. One listener a kind of event: elements come and go, the document stays.
    fn listen(&self) {
        let document: &EventTarget = &self.document;
        let window: &EventTarget = &self.window;
        self.add(document, "visibilitychange", |app, _| {
            let is_seen = !app.document.hidden();
            app.seen(is_seen);
        });
        self.add(window, "online", |app, _| {
            app.on(Event::Online);
            app.on_refresh(refresh::Event::Online);
        });
        self.add(window, "offline", |app, _| {
            app.on(Event::Offline);
            app.on_refresh(refresh::Event::Offline);
        });
        self.add(window, "pagehide", |app, _| app.on(Event::Left));
        self.add(window, "pageshow", |app, event| {
            // A page that the browser had kept may be of a time before its reader signed out.
            if event.field("persisted").and_then(|is_kept| is_kept.truth()) == Some(true) {
                app.on(Event::Shown);
                app.on_refresh(refresh::Event::Returned);
            }
        });
        self.add(window, "popstate", |app, _| app.follow_address());
        self.add(document, "click", |app, event| app.click(&event));
        // With the wheel, or whatever else opens a link elsewhere.
        self.add(document, "auxclick", |app, event| {
            app.refuse_if_old(&event);
        });
        self.add(document, "keydown", |app, event| app.key(&event));
        self.add(document, "input", |app, event| app.input(&event));
        self.add(document, "submit", |app, event| app.submit(&event));
    }

    /// Whether the page is in sight from now on.
    fn seen(&mut self, is_seen: bool) {
        let (event, refresh) =
            if is_seen { (Event::Shown, refresh::Event::Shown) } else { (Event::Hidden, refresh::Event::Hidden) };
        self.on(event);
        self.on_refresh(refresh);
    }

    fn add(&self, target: &EventTarget, kind: &str, act: fn(&mut Self, JsValue)) {
        let _ = target.add_event_listener_with_callback(kind, &function(&self.me, act));
    }

    /// Shows what only works with scripts.
    fn reveal(&self) {
        for id in ["pause", "keys"] {
            if let Some(element) = self.document.get_element_by_id(id) {
                show(&element, true);
            }
        }
        self.mark_page("data-scripts", true);
        if let Some(input) = self.keys_input() {
            input.set_checked(self.has_keys);
        }
    }

    /// Says something about the page as a whole, for the style sheet.
    fn mark_page(&self, name: &str, is_set: bool) {
        if let Some(body) = self.document.body() {
            flag(&body, name, is_set);
        }
    }

    fn keys_input(&self) -> Option<HtmlInputElement> {
        self.document.query_selector("#keys input").ok()??.dyn_into().ok()
    }

    pub(crate) fn on_refresh(&mut self, event: refresh::Event) {
        if self.refresh.on(event, now(), random_below_1024()) {
            let address = self.window.location().href().unwrap_or_default();
            host::ask(&address, "text/html", "", &self.on_page);
            self.look_again();
        }
    }

    /// The page has come as the edge makes it now, or whatever else somebody answered.
    fn page_came(&mut self, answer: &JsValue) {
        let answer = match judged(answer) {
            Answer::Read => self.take_page(answer),
            other => other,
        };
        if matches!(answer, Answer::Refused | Answer::Gone) {
            self.on(Event::Polled(answer));
        }
        self.on_refresh(refresh::Event::Answered(answer));
    }

    /// Takes from the page what has changed, if it is this one, for this reader, and newer. A network that wants to be signed in
    /// to answers with a page of its own, a cache with one of before, and an edge that has lost the reader with another.
    fn take_page(&mut self, answer: &JsValue) -> Answer {
        let page = text(answer).and_then(|html| host::parse(&html));
        let Some(page) = page else { return Answer::Failed };
        let (_, reader_before) = made(|selector| self.document.query_selector(selector));
        let (at, reader) = made(|selector| page.query_selector(selector));
        if reader != reader_before && (at.is_some() || reader.is_some()) {
            return Answer::Refused;
        }
        let Some(at) = at.filter(|at| *at > self.page_at) else { return Answer::Failed };
        self.page_at = at;
        // What is said of a release as a whole is newer here than on a page that was on its way.
        if self.live.is_none() {
            take_head(&self.document, &page, &self.page_at);
        }
        take(&self.document, &page);
        Answer::Read
    }

    /// The reader wants no updates, or wants them again.
    pub(crate) fn toggle_pause(&mut self) {
        self.on(Event::PauseToggled);
        self.on_refresh(refresh::Event::PauseToggled);
        if let Some(button) = self.document.get_element_by_id("pause") {
            let is_paused = button.get_attribute("aria-pressed").as_deref() != Some("true");
            let _ = button.set_attribute("aria-pressed", if is_paused { "true" } else { "false" });
        }
    }

    /// How fresh the page is now, and when the edge was heard last.
    fn freshness(&self) -> (Option<Freshness>, u64) {
        match &self.live {
            Some(live) => (live.connection.freshness(now()), live.connection.heard()),
            None => (self.refresh.freshness(now()), self.refresh.heard()),
        }
    }

    /// Whether what the page shows may not be so any more: then nothing is offered to be done. It may have become so just
    /// now, while the computer slept.
    pub(crate) fn is_stale(&self) -> bool {
        self.freshness().0.is_some_and(|kind| !matches!(kind, Freshness::Live | Freshness::Polling(_)))
    }

    /// Remembers whether keys mean anything.
    pub(crate) fn set_keys(&mut self, has_keys: bool) {
        self.has_keys = has_keys;
        if let Ok(Some(storage)) = self.window.local_storage() {
            let _ = storage.set_item(KEYS, if has_keys { "on" } else { "off" });
        }
    }

    fn copied(&mut self, is_copied: bool) {
        self.say(if is_copied { "Copied." } else { "The browser does not let this page copy." });
        self.mark_page("data-copied", is_copied);
        self.copied_until = Some(now() + COPIED_MS);
    }

    /// Tells a screen reader something at once.
    pub(crate) fn say(&self, words: &str) {
        write(&self.document, "announce", words);
    }

    fn time_has_come(&mut self) {
        self.timer = None;
        let now = now();
        if self.live.as_ref().and_then(|live| live.connection.due()).is_some_and(|due| due <= now) {
            self.on(Event::Due);
        }
        self.on_refresh(refresh::Event::Due);
        if self.copied_until.is_some_and(|until| until <= now) {
            self.copied_until = None;
            self.mark_page("data-copied", false);
        }
    }

    /// After every event: says what changed, and sets the timer to what is due next.
    fn settle(&mut self) {
        let now = now();
        self.say_freshness();
        self.write_title();
        if !self.changes.is_empty() && self.said_at + announce::EVERY_MS <= now {
            self.said_at = now;
            let words = self.changes.take();
            self.say(&words);
        }
        if self.ages_at <= now {
            self.ages_at = now + AGES_EVERY_MS;
            write_ages(&self.document);
        }
        let said = (!self.changes.is_empty()).then_some(self.said_at + announce::EVERY_MS);
        let ages = (!self.document.hidden()).then_some(self.ages_at);
        let live = self.live.as_ref().and_then(|live| live.connection.due());
        let next = [live, self.refresh.due(), self.copied_until, said, ages].into_iter().flatten().min();
        if let Some(timer) = self.timer.take() {
            self.window.clear_timeout_with_handle(timer);
        }
        if let Some(next) = next {
            let delay = i32::try_from(next.saturating_sub(now)).unwrap_or(i32::MAX);
            self.timer = self.window.set_timeout_with_callback_and_timeout_and_arguments_0(&self.on_time, delay).ok();
        }
    }

    fn say_freshness(&mut self) {
        let (Some(kind), heard) = self.freshness() else { return };
        // When that was, by the edge's clock.
        let ago = (now() - heard.min(now())) / 1_000;
        let seconds = u64::try_from(now_seconds()).unwrap_or_default().saturating_sub(ago);
        let clock = format!("{:02}:{:02}:{:02} UTC", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let html = freshness(kind, &clock).0;
        if html == self.shown_freshness {
            return;
        }
        let Some(element) = self.document.get_element_by_id("freshness") else { return };
        element.set_text_content(None);
        if let Some(words) = host::parse(&html) {
            let _ = element.append_child(&words);
        }
        // Said aloud once per change of kind: the clock alone is no news, nor is that all is well at the beginning.
        let before = self.kind.replace(kind);
        if before != Some(kind) && !matches!((before, kind), (None, Freshness::Live | Freshness::Polling(_))) {
            self.say(&element.text_content().unwrap_or_default());
        }
        self.mark_page("data-stale", self.is_stale());
        self.shown_freshness = html;
    }

    /// Says in the title whether it may be wrong.
    fn write_title(&self) {
        let title = self.document.title();
        match (title.strip_prefix(OLD), self.is_stale()) {
            (None, true) => self.document.set_title(&format!("{OLD}{title}")),
            (Some(title), false) => self.document.set_title(title),
            _ => {}
        }
    }
}

/// What an answer means for the page, as far as its status and its head say so.
pub(crate) fn judged(answer: &JsValue) -> Answer {
    let wait_ms = answer.field("wait").and_then(|wait| wait.count()).unwrap_or_default().saturating_mul(1_000);
    match status(answer) {
        200 | 304 => Answer::Read,
        401 | 403 => Answer::Refused,
        404 => Answer::Gone,
        _ if wait_ms > 0 => Answer::Busy(wait_ms.min(WAIT_MAX_MS)),
        _ => Answer::Failed,
    }
}

/// The status of an answer to [`host::ask`].
pub(crate) fn status(answer: &JsValue) -> u64 {
    answer.field("status").and_then(|status| status.count()).unwrap_or_default()
}

/// The text of an answer.
pub(crate) fn text(answer: &JsValue) -> Option<String> {
    answer.field("text")?.text()
}

/// The element that an event happened to.
pub(crate) fn target(event: &JsValue) -> Option<Element> {
    event.dyn_ref::<web_sys::Event>()?.target()?.dyn_into().ok()
}

/// A JavaScript function that acts on the app. It lives as long as the page.
fn function(me: &Weak<RefCell<App>>, act: fn(&mut App, JsValue)) -> Function {
    let me = me.clone();
    let closure = Closure::<dyn FnMut(JsValue)>::new(move |value| {
        let Some(app) = me.upgrade() else { return };
        // Busy means that this event came out of our own doing; that one settles.
        if let Ok(mut app) = app.try_borrow_mut() {
            act(&mut app, value);
            app.settle();
        }
    });
    closure.into_js_value().unchecked_into()
}

fn storage_says_off(window: &Window) -> bool {
    // Reading throws where storage is forbidden.
    let Ok(Some(storage)) = window.local_storage() else { return false };
    matches!(storage.get_item(KEYS), Ok(Some(value)) if value == "off")
}

thread_local! {
    /// The time that was told last, and by how much the browser's clock was put back until then.
    static CLOCK: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Milliseconds since 1970. A clock that is put back would make everything that is due wait for as long, so then time goes on
/// from where it was.
pub(crate) fn now() -> u64 {
    let clock = onward(CLOCK.get(), integer(js_sys::Date::now()));
    CLOCK.set(clock);
    clock.0
}

/// The time after `last`, and by how much the clock was put back, when it says `wall`.
fn onward((last, put_back): (u64, u64), wall: u64) -> (u64, u64) {
    let put_back = put_back.max(last.saturating_sub(wall));
    (wall + put_back, put_back)
}

pub(crate) fn random_below_1024() -> u64 {
    integer(js_sys::Math::random() * 1024.0)
}

/// JavaScript's numbers are floating; ours count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time after 1970 and a small random number, both far below 2^53; `as` saturates at worst"
)]
pub(crate) fn integer(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_put_back_stops_no_time() {
        let mut clock = (0, 0);
        let mut said = Vec::new();
        for wall in [10_000, 10_500, 7_000, 7_100, 9_000, 8_000, 8_500, 20_000] {
            clock = onward(clock, wall);
            said.push(clock.0);
        }
        assert_eq!(said, [10_000, 10_500, 10_500, 10_600, 12_500, 12_500, 13_000, 24_500]);
    }
}
