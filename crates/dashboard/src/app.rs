//! The page at work: its listeners, its socket, its one timer.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use js_sys::Function;
use slipway_core::api::Release;
use slipway_view::filter::Filter;
use slipway_view::matrix::View;
use slipway_view::page::{Freshness, freshness, icon, shown_words};
use slipway_view::section;
use slipway_view::text::{Moment, segment};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    CloseEvent, Document, Element, EventTarget, Headers, HtmlInputElement, KeyboardEvent, MessageEvent, MouseEvent,
    RequestInit, Response, WebSocket, Window,
};

use crate::announce::{self, Changes};
use crate::connection::{Action, Answer, Connection, Event};
use crate::document::{all, replace, replace_part, show, write, write_ages};
use crate::read::{self, Value};

/// Times that say how long ago something was are written again this often.
const AGES_EVERY_MS: u64 = 20_000;
/// Remembers a reader who has switched the key off.
const KEYS: &str = "slipway-keys";

struct App {
    me: Weak<RefCell<Self>>,
    window: Window,
    document: Document,
    /// The release in the API, as a path.
    api: String,
    sequence: u64,
    filter: Filter,
    connection: Connection,
    socket: Option<WebSocket>,
    /// The socket's listeners, made once: a closure must not be dropped while it runs.
    on_open: Function,
    on_message: Function,
    on_close: Function,
    on_time: Function,
    timer: Option<i32>,
    ages_at: u64,
    changes: Changes,
    said_at: u64,
    has_keys: bool,
    kind: Option<Freshness>,
    /// What `#freshness` shows.
    shown_freshness: String,
}

/// Begins, when the page is a release's. Any other page needs nothing.
pub(crate) fn begin() {
    let Some(app) = App::new() else { return };
    if let Ok(mut app) = app.try_borrow_mut() {
        app.listen();
        app.reveal();
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
        let main = document.get_element_by_id("main")?;
        let project = main.get_attribute("data-project")?;
        let version = main.get_attribute("data-version")?;
        let sequence = main.get_attribute("data-sequence")?.parse().ok()?;
        let api = format!("/api/v1/projects/{}/releases/{}", segment(&project), segment(&version));
        let at = document.get_element_by_id("freshness")?.get_attribute("data-at")?;
        let at = Moment::parse(&at).and_then(|moment| u64::try_from(moment.seconds()).ok()).map_or(0, |s| s * 1_000);
        let filter = Filter::from_query(&window.location().search().unwrap_or_default());
        let has_keys = !storage_says_off(&window);
        Some(Rc::new_cyclic(|me: &Weak<RefCell<Self>>| {
            RefCell::new(Self {
                me: me.clone(),
                window,
                document,
                api,
                sequence,
                filter,
                connection: Connection::new(at),
                socket: None,
                on_open: function(me, |app, _| app.on(Event::Opened)),
                on_message: function(me, |app, event| app.message(&event)),
                on_close: function(me, |app, event| {
                    let code = event.dyn_into::<CloseEvent>().map_or(1006, |event| event.code());
                    app.on(Event::Closed(code));
                }),
                on_time: function(me, |app, _| app.time_has_come()),
                timer: None,
                ages_at: 0,
                changes: Changes::default(),
                said_at: 0,
                has_keys,
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
            let event = if app.document.hidden() { Event::Hidden } else { Event::Shown };
            app.on(event);
        });
        self.add(window, "online", |app, _| app.on(Event::Online));
        self.add(window, "offline", |app, _| app.on(Event::Offline));
        self.add(window, "pagehide", |app, _| app.on(Event::Left));
        self.add(window, "pageshow", |app, _| app.on(Event::Shown));
        self.add(window, "popstate", |app, _| {
            let query = app.window.location().search().unwrap_or_default();
            app.set_filter(Filter::from_query(&query));
            if let Some(input) = app.words_input() {
                input.set_value(&app.filter.words);
            }
        });
        self.add(document, "click", |app, event| app.click(&event));
        self.add(document, "keydown", |app, event| app.key(&event));
        self.add(document, "input", |app, event| app.input(&event));
        self.add(document, "submit", |_, event| {
            if let Ok(event) = event.dyn_into::<web_sys::Event>() {
                event.prevent_default();
            }
        });
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
        if let Some(input) = self.keys_input() {
            input.set_checked(self.has_keys);
        }
    }

    fn on(&mut self, event: Event) {
        let lot = random_below_1024();
        for action in self.connection.on(event, now(), lot) {
            match action {
                Action::Open => self.open(),
                Action::Close => self.close(),
                Action::Ping => {
                    if let Some(socket) = &self.socket {
                        let _ = socket.send_with_str("ping");
                    }
                }
                Action::Poll => self.poll(),
            }
        }
    }

    fn open(&mut self) {
        self.close();
        let location = self.window.location();
        let (Ok(protocol), Ok(host)) = (location.protocol(), location.host()) else { return };
        let scheme = if protocol == "https:" { "wss" } else { "ws" };
        let address = format!("{scheme}://{host}{}/live?since={}", self.api, self.sequence);
        // A constructor that throws (a policy, a malformed address) is a connection that failed; the deadline for opening
        // brings the next attempt.
        let Ok(socket) = WebSocket::new(&address) else { return };
        socket.set_onopen(Some(&self.on_open));
        socket.set_onmessage(Some(&self.on_message));
        socket.set_onclose(Some(&self.on_close));
        self.socket = Some(socket);
    }

    fn close(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.set_onopen(None);
            socket.set_onmessage(None);
            socket.set_onclose(None);
            let _ = socket.close();
        }
    }

    fn message(&mut self, event: &JsValue) {
        let data = event.dyn_ref::<MessageEvent>().and_then(|event| event.data().as_string());
        self.on(Event::Heard);
        match data.as_deref() {
            None | Some("pong") => {}
            Some(text) => self.read(text),
        }
    }

    /// Asks for the release once.
    fn poll(&self) {
        let (me, window) = (self.me.clone(), self.window.clone());
        let (address, sequence) = (self.api.clone(), self.sequence);
        spawn_local(async move {
            let answer = ask(&window, &address, sequence).await;
            let Some(app) = me.upgrade() else { return };
            let Ok(mut app) = app.try_borrow_mut() else { return };
            let answer = match answer {
                Ok((304, _)) => Answer::Read,
                Ok((200, text)) => {
                    app.read(&text);
                    Answer::Read
                }
                Ok((401 | 403, _)) => Answer::Refused,
                Ok(_) | Err(_) => Answer::Failed,
            };
            app.on(Event::Polled(answer));
            app.settle();
        });
    }

    /// Shows a release that the edge has sent.
    fn read(&mut self, text: &str) {
        match js_sys::JSON::parse(text).ok().and_then(|json| read::release(&json)) {
            Some(release) if release.sequence > self.sequence => self.apply(&release),
            Some(_) => {}
            // The edge has been replaced by one that knows more.
            None => self.on(Event::Unreadable),
        }
    }

    fn apply(&mut self, release: &Release) {
        self.sequence = release.sequence;
        let document = self.document.clone();
        for part in section::parts(release, &self.filter) {
            replace_part(&document, &part);
        }
        let view = match document.get_element_by_id("packages").and_then(|packages| packages.get_attribute("data-view"))
        {
            Some(code) if code == View::Matrix.code() => View::Matrix,
            _ => View::List,
        };
        let rows = all(&document, ".target");
        let ids: Vec<String> = rows.iter().map(Element::id).collect();
        let states: Vec<Option<String>> = rows.iter().map(|row| row.get_attribute("data-state")).collect();
        let parts: Vec<section::Part> = section::targets(release)
            .map(|(package, target)| section::entry(release, package, target, &self.filter, view))
            .collect();
        for ((package, target), part) in section::targets(release).zip(&parts) {
            let before = ids.iter().zip(&states).find(|(id, _)| **id == part.id).map(|(_, state)| state.as_deref());
            match before {
                Some(state) if state == Some(target.state.code()) => {}
                Some(_) => self.changes.moved(&format!("{} {}", package.key, target.name()), target.state),
                None => self.changes.added(1),
            }
        }
        // A matrix has them in another order than the release.
        let is_there = |part: &section::Part| document.get_element_by_id(&part.id).is_some();
        if ids.len() == parts.len() && parts.iter().all(is_there) {
            for part in &parts {
                if replace_part(&document, part)
                    && let Some(row) = document.get_element_by_id(&part.id)
                {
                    let _ = row.class_list().add_1("changed");
                }
            }
        } else if let Some(table) = document.get_element_by_id("packages") {
            replace(&document, &table, &section::packages(release, &self.filter).0);
        }
        document.set_title(&format!("{} · Slipway", section::title(release)));
        if let Some(link) = document.get_element_by_id("icon") {
            let wanted = icon(section::is_alarming(release));
            if link.get_attribute("href").as_deref() != Some(wanted) {
                let _ = link.set_attribute("href", wanted);
            }
        }
        self.show_filtered();
        self.ages_at = 0;
    }

    /// Lets the page follow a changed filter.
    fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
        self.show_filtered();
        let path = self.window.location().pathname().unwrap_or_default();
        for link in all(&self.document, "a[data-filter]") {
            let name = link.get_attribute("data-filter").unwrap_or_default();
            let _ = link.set_attribute("href", &format!("{path}{}", self.filter.pressed(&name).query()));
            if self.filter.has(&name) {
                let _ = link.set_attribute("aria-current", "true");
            } else {
                let _ = link.remove_attribute("aria-current");
            }
            if let Some(item) = link.parent_element().filter(|_| name.is_empty()) {
                show(&item, !self.filter.is_empty());
            }
        }
    }

    /// Puts the filter into the address, so that it can be sent to somebody.
    fn keep_filter(&self) {
        let location = self.window.location();
        let address = format!(
            "{}{}{}",
            location.pathname().unwrap_or_default(),
            self.filter.query(),
            location.hash().unwrap_or_default()
        );
        if let Ok(history) = self.window.history() {
            let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&address));
        }
    }

    fn show_filtered(&self) {
        let rows = all(&self.document, ".target");
        let mut shown = 0;
        for row in &rows {
            let state = row.get_attribute("data-state").and_then(|code| code.parse().ok());
            let find = row.get_attribute("data-find").unwrap_or_default();
            let is_shown = state.is_none_or(|state| self.filter.shows(state, &find));
            show(row, is_shown);
            shown += usize::from(is_shown);
        }
        write(&self.document, "shown", &shown_words(shown, rows.len()));
        for filters in all(&self.document, ".filters") {
            show(&filters, !rows.is_empty());
        }
    }

    fn click(&mut self, event: &JsValue) {
        let Some(event) = event.dyn_ref::<MouseEvent>() else { return };
        let Some(element) = event.target().and_then(|target| target.dyn_into::<Element>().ok()) else { return };
        if let Ok(Some(button)) = element.closest("#pause") {
            self.on(Event::PauseToggled);
            let is_paused = button.get_attribute("aria-pressed").as_deref() != Some("true");
            let _ = button.set_attribute("aria-pressed", if is_paused { "true" } else { "false" });
            return;
        }
        // A link pressed with a key that opens it elsewhere is the browser's.
        if event.ctrl_key() || event.meta_key() || event.shift_key() || event.button() != 0 {
            return;
        }
        if let Ok(Some(link)) = element.closest("a[data-filter]") {
            event.prevent_default();
            let name = link.get_attribute("data-filter").unwrap_or_default();
            self.set_filter(self.filter.pressed(&name));
            if name.is_empty()
                && let Some(input) = self.words_input()
            {
                input.set_value("");
                let _ = input.focus();
            }
            self.keep_filter();
        } else if let Ok(Some(link)) = element.closest("a[href^='#t-']") {
            // A link to a row that the filter hides would lead nowhere.
            let row = link.get_attribute("href").and_then(|href| self.document.get_element_by_id(href.get(1..)?));
            if row.is_some_and(|row| row.has_attribute("hidden")) {
                self.set_filter(Filter::default());
                if let Some(input) = self.words_input() {
                    input.set_value("");
                }
                self.keep_filter();
            }
        }
    }

    fn key(&mut self, event: &JsValue) {
        let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
        if !self.has_keys || event.key() != "/" || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        let is_typing = event
            .target()
            .and_then(|target| target.dyn_into::<Element>().ok())
            .is_some_and(|element| matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT"));
        if let Some(input) = self.words_input().filter(|_| !is_typing) {
            event.prevent_default();
            let _ = input.focus();
            input.select();
        }
    }

    fn input(&mut self, event: &JsValue) {
        let target = event.dyn_ref::<web_sys::Event>().and_then(web_sys::Event::target);
        let Some(input) = target.and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        if input.id() == "filter-words" {
            let words = input.value().trim().to_owned();
            self.set_filter(Filter { words, ..self.filter.clone() });
            self.keep_filter();
        } else {
            self.has_keys = input.checked();
            if let Ok(Some(storage)) = self.window.local_storage() {
                let _ = storage.set_item(KEYS, if self.has_keys { "on" } else { "off" });
            }
        }
    }

    fn words_input(&self) -> Option<HtmlInputElement> {
        self.document.get_element_by_id("filter-words")?.dyn_into().ok()
    }

    fn keys_input(&self) -> Option<HtmlInputElement> {
        self.document.query_selector("#keys input").ok()??.dyn_into().ok()
    }

    fn time_has_come(&mut self) {
        self.timer = None;
        if self.connection.due().is_some_and(|due| due <= now()) {
            self.on(Event::Due);
        }
    }

    /// After every event: says what changed, and sets the timer to what is due next.
    fn settle(&mut self) {
        let now = now();
        self.say_freshness();
        if !self.changes.is_empty() && self.said_at + announce::EVERY_MS <= now {
            self.said_at = now;
            let words = self.changes.take();
            write(&self.document, "announce", &words);
        }
        if self.ages_at <= now {
            self.ages_at = now + AGES_EVERY_MS;
            write_ages(&self.document, i64::try_from(now / 1_000).unwrap_or_default());
        }
        let said = (!self.changes.is_empty()).then_some(self.said_at + announce::EVERY_MS);
        let ages = (!self.document.hidden()).then_some(self.ages_at);
        let next = [self.connection.due(), said, ages].into_iter().flatten().min();
        if let Some(timer) = self.timer.take() {
            self.window.clear_timeout_with_handle(timer);
        }
        if let Some(next) = next {
            let delay = i32::try_from(next.saturating_sub(now)).unwrap_or(i32::MAX);
            self.timer = self.window.set_timeout_with_callback_and_timeout_and_arguments_0(&self.on_time, delay).ok();
        }
    }

    fn say_freshness(&mut self) {
        let Some(kind) = self.connection.freshness() else { return };
        let seconds = self.connection.heard() / 1_000;
        let clock = format!("{:02}:{:02}:{:02} UTC", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let html = freshness(kind, &clock).0;
        if html == self.shown_freshness {
            return;
        }
        let Some(element) = self.document.get_element_by_id("freshness") else { return };
        element.set_inner_html(&html);
        // Said aloud once per change of kind: the clock alone is no news, nor is that all is well at the beginning.
        let before = self.kind.replace(kind);
        if before != Some(kind) && (before, kind) != (None, Freshness::Live) {
            write(&self.document, "announce", &element.text_content().unwrap_or_default());
        }
        self.shown_freshness = html;
    }
}

impl Value for JsValue {
    fn field(&self, name: &str) -> Option<Self> {
        let value = js_sys::Reflect::get(self, &Self::from_str(name)).ok()?;
        (!value.is_null() && !value.is_undefined()).then_some(value)
    }

    fn items(&self) -> Option<Vec<Self>> {
        Some(self.dyn_ref::<js_sys::Array>()?.iter().collect())
    }

    fn text(&self) -> Option<String> {
        self.as_string()
    }

    fn count(&self) -> Option<u64> {
        // JSON knows no integers; what is none was not written by the edge.
        self.as_f64().filter(|number| *number >= 0.0).map(integer)
    }

    fn truth(&self) -> Option<bool> {
        self.as_bool()
    }
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

/// Status and body of the release's API. The body is read only when there is one to read.
async fn ask(window: &Window, address: &str, sequence: u64) -> Result<(u16, String), JsValue> {
    let headers = Headers::new()?;
    headers.set("Accept", "application/json")?;
    headers.set("If-None-Match", &format!("\"{sequence}\""))?;
    let options = RequestInit::new();
    options.set_headers(&headers);
    let response: Response = JsFuture::from(window.fetch_with_str_and_init(address, &options)).await?.dyn_into()?;
    let status = response.status();
    if status != 200 {
        return Ok((status, String::new()));
    }
    let text = JsFuture::from(response.text()?).await?;
    Ok((status, text.as_string().unwrap_or_default()))
}

fn storage_says_off(window: &Window) -> bool {
    // Reading throws where storage is forbidden.
    let Ok(Some(storage)) = window.local_storage() else { return false };
    matches!(storage.get_item(KEYS), Ok(Some(value)) if value == "off")
}

/// Milliseconds since 1970.
fn now() -> u64 {
    integer(js_sys::Date::now())
}

fn random_below_1024() -> u64 {
    integer(js_sys::Math::random() * 1024.0)
}

/// JavaScript's numbers are floating; ours count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time after 1970 and a small random number, both far below 2^53; `as` saturates at worst"
)]
fn integer(number: f64) -> u64 {
    number as u64
}
