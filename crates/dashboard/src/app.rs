//! The page at work: its listeners, its one timer, and what it says of itself.

use std::cell::RefCell;
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
use crate::document::{all, count, flag, now_seconds, show, take, take_head, write, write_ages};
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

/// A page, and what it waits for.
pub(crate) struct App {
    pub(crate) me: Weak<RefCell<Self>>,
    pub(crate) window: Window,
    pub(crate) document: Document,
    /// The release that the page is about.
    pub(crate) live: Option<Live>,
    pub(crate) refresh: Refresh,
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
        let at = document.get_element_by_id("freshness").and_then(|freshness| freshness.get_attribute("data-at"));
        let at = at.as_deref().and_then(Moment::parse).and_then(|moment| u64::try_from(moment.seconds()).ok());
        let at = at.map_or(now, |seconds| seconds * 1_000);
        let query = window.location().search().unwrap_or_default();
        let live = Live::of(&document, Filter::from_query(&query), at);
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
            let (event, refresh) = if app.document.hidden() {
                (Event::Hidden, refresh::Event::Hidden)
            } else {
                (Event::Shown, refresh::Event::Shown)
            };
            app.on(event);
            app.on_refresh(refresh);
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
            app.on(Event::Shown);
            // A page that the browser had kept may be of a time before its reader signed out.
            if event.field("persisted").and_then(|is_kept| is_kept.truth()) == Some(true) {
                app.on_refresh(refresh::Event::Changed);
            }
        });
        self.add(window, "popstate", |app, _| app.follow_address());
        self.add(document, "click", |app, event| app.click(&event));
        self.add(document, "keydown", |app, event| app.key(&event));
        self.add(document, "input", |app, event| app.input(&event));
        self.add(document, "submit", |app, event| app.submit(&event));
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
        if self.refresh.on(event, now()) {
            let address = self.window.location().href().unwrap_or_default();
            host::ask(&address, "text/html", "", &self.on_page);
            self.look_again();
        }
    }

    /// The page has come as the edge makes it now.
    fn page_came(&mut self, answer: &JsValue) {
        if let (200, Some(page)) = (status(answer), text(answer).and_then(|html| host::parse(&html))) {
            // What is said of a release as a whole is newer here than on a page that was on its way.
            if self.live.is_none() {
                take_head(&self.document, &page);
            }
            take(&self.document, &page);
        }
        self.on_refresh(refresh::Event::Answered(judged(status(answer))));
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

    /// Whether what the page shows may not be so any more: then nothing is offered to be done.
    pub(crate) fn is_stale(&self) -> bool {
        self.kind.is_some_and(|kind| !matches!(kind, Freshness::Live | Freshness::Polling(_)))
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
        let (kind, heard) = match &self.live {
            Some(live) => (live.connection.freshness(), live.connection.heard()),
            None => (self.refresh.freshness(), self.refresh.heard()),
        };
        let Some(kind) = kind else { return };
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
}

/// What an answer's status means for the page.
pub(crate) fn judged(status: u64) -> Answer {
    match status {
        200 | 304 => Answer::Read,
        401 | 403 => Answer::Refused,
        404 => Answer::Gone,
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

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    integer(js_sys::Date::now())
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
