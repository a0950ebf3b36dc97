//! The page of a release: its socket, and the parts that are rendered here.

use slipway_core::api::Package;
use slipway_core::release::Key;
use slipway_view::filter::Filter;
use slipway_view::matrix::View;
use slipway_view::page::icon;
use slipway_view::section;
use slipway_view::text::segment;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Document, MessageEvent, WebSocket};

use crate::app::{App, judged, now, random_below_1024, status, text};
use crate::connection::{Action, Answer, Connection, Event};
use crate::document::{count, replace, replace_part, set_clock, write_attribute};
use crate::known::{Changed, Known};
use crate::{host, read, refresh};

/// A release that is shown and followed.
pub(crate) struct Live {
    /// The release in the API, as a path.
    api: String,
    /// The release's page, as a path.
    pub(crate) path: String,
    version: String,
    known: Known,
    pub(crate) filter: Filter,
    pub(crate) connection: Connection,
    socket: Option<WebSocket>,
}

impl Live {
    /// The release of a page that the edge has made at `at`. `None` for the page of something else.
    pub(crate) fn of(document: &Document, filter: Filter, page_at: &str, at: u64) -> Option<Self> {
        let main = document.get_element_by_id("main")?;
        let known = Known::new(main.get_attribute("data-sequence")?.parse().ok()?, page_at.to_owned());
        let project = segment(&main.get_attribute("data-project")?);
        let version = main.get_attribute("data-version")?;
        let part = segment(&version);
        Some(Self {
            api: format!("/api/v1/projects/{project}/releases/{part}"),
            path: format!("/p/{project}/r/{part}"),
            version,
            known,
            filter,
            connection: Connection::new(at),
            socket: None,
        })
    }
}

impl App {
    /// Something happened that the connection is to know.
    pub(crate) fn on(&mut self, event: Event) {
        let lot = random_below_1024();
        let Some(live) = &mut self.live else { return };
        for action in live.connection.on(event, now(), lot) {
            match action {
                Action::Open => self.open(),
                Action::Close => self.close(),
                Action::Ping => {
                    if let Some(socket) = self.live.as_ref().and_then(|live| live.socket.as_ref()) {
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
        let Some(live) = &mut self.live else { return };
        let (Ok(protocol), Ok(host)) = (location.protocol(), location.host()) else { return };
        let scheme = if protocol == "https:" { "wss" } else { "ws" };
        let address = format!("{scheme}://{host}{}/live?since={}&changes=true", live.api, live.known.sequence());
        // A constructor that throws (a policy, a malformed address) is a connection that failed; the deadline for opening
        // brings the next attempt.
        let Ok(socket) = WebSocket::new(&address) else { return };
        socket.set_onopen(Some(&self.on_open));
        socket.set_onmessage(Some(&self.on_message));
        socket.set_onclose(Some(&self.on_close));
        live.socket = Some(socket);
    }

    fn close(&mut self) {
        if let Some(socket) = self.live.as_mut().and_then(|live| live.socket.take()) {
            socket.set_onopen(None);
            socket.set_onmessage(None);
            socket.set_onclose(None);
            let _ = socket.close();
        }
    }

    /// The socket said something.
    pub(crate) fn message(&mut self, event: &JsValue) {
        let data = event.dyn_ref::<MessageEvent>().and_then(|event| event.data().as_string());
        self.on(Event::Heard);
        match data.as_deref() {
            None | Some("pong") => {}
            Some(text) => {
                self.read(text);
            }
        }
    }

    /// Asks for the release once.
    fn poll(&self) {
        if let Some(live) = &self.live {
            host::ask(&live.api, "application/json", &format!("\"{}\"", live.known.sequence()), &self.on_polled);
        }
    }

    /// The answer to that question.
    pub(crate) fn polled(&mut self, answer: &JsValue) {
        let is_read = status(answer) != 200 || text(answer).is_some_and(|text| self.read(&text));
        self.on(Event::Polled(if is_read { judged(answer) } else { Answer::Failed }));
        if self.live.as_ref().is_some_and(|live| live.known.is_behind()) {
            self.on(Event::Missing);
        }
    }

    /// Shows what the edge has sent. Says whether it could be read and is about this release.
    fn read(&mut self, text: &str) -> bool {
        let Some(message) = js_sys::JSON::parse(text).ok().and_then(|json| read::message(&json)) else {
            // The edge has been replaced by one that knows more.
            self.on(Event::Unreadable);
            return false;
        };
        let Some(live) = self.live.as_mut().filter(|live| live.version == message.release.version.as_str()) else {
            return false;
        };
        match live.known.take(message) {
            Changed::Nothing => {}
            Changed::Unknown => self.on(Event::Missing),
            Changed::All => self.show(None),
            Changed::Packages(keys) => self.show(Some(&keys)),
        }
        true
    }

    /// Shows the release as it is known now, of its packages only these.
    fn show(&mut self, only: Option<&[Key]>) {
        let Some((live, release)) = self.live.as_ref().and_then(|live| Some((live, live.known.release()?))) else {
            return;
        };
        set_clock(&release.at);
        let document = &self.document;
        for part in section::parts(release, &live.filter) {
            replace_part(document, &part);
        }
        // The layout that the edge has chosen, or the reader.
        let table = document.get_element_by_id("packages");
        let layout = table.as_ref().and_then(|table| table.get_attribute("data-view"));
        let view = if layout.as_deref() == Some(View::Matrix.code()) { View::Matrix } else { View::List };
        let is_changed = |package: &Package| only.is_none_or(|only| only.contains(&package.key));
        let mut added = 0;
        for (package, target) in section::targets(release).filter(|(package, _)| is_changed(package)) {
            let part = section::entry(release, package, target, &live.filter, view);
            let Some(row) = document.get_element_by_id(&part.id) else {
                added += 1;
                continue;
            };
            if row.get_attribute("data-state").as_deref() != Some(target.state.code()) {
                self.changes.moved(&format!("{} {}", package.key, target.name()), target.state);
            }
            if replace_part(document, &part)
                && let Some(row) = document.get_element_by_id(&part.id)
            {
                let _ = row.class_list().add_1("changed");
            }
        }
        self.changes.added(added);
        // Rows that are new have their place among the others; rows that are gone leave none.
        if (added > 0 || count(document, ".target") != section::targets(release).count())
            && let Some(table) = table
        {
            replace(document, &table, &section::packages(release, &live.filter).0);
        }
        document.set_title(&format!("{} · Slipway", section::title(release)));
        if let Some(link) = document.get_element_by_id("icon") {
            write_attribute(&link, "href", icon(section::is_alarming(release)));
        }
        self.say_shown();
        self.on_refresh(refresh::Event::Changed);
    }
}
