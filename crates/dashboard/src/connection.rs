//! When to connect, to ask and to give up. Pure: the events and the time come in, what to do goes out.
//!
//! One socket a page. A lost one is tried again after a delay that doubles from half a second to a minute, drawn by lot
//! below that, so that a thousand pages do not return at once when the edge has restarted. After two attempts that never
//! became a connection, the page also asks every 15 seconds, as some networks let no socket through.

use slipway_view::page::Freshness;

/// A little less than the half minute after which proxies begin to close idle connections.
const PING_EVERY_MS: u64 = 25_000;
/// A ping that is not answered in this time shows that the connection is dead, whatever the socket says.
const PONG_WITHIN_MS: u64 = 10_000;
const OPEN_WITHIN_MS: u64 = 10_000;
const RETRY_FIRST_MS: u64 = 500;
const RETRY_MAX_MS: u64 = 60_000;
/// A connection that held this long was a good one: the next delay is the first one again.
const HELD_MS: u64 = 5_000;
const POLL_EVERY_MS: u64 = 15_000;
const FAILURES_BEFORE_POLLING: u32 = 2;
/// A page in the background needs no connection; the visitor may still be on the way back for this long.
const HIDDEN_MS: u64 = 60_000;
/// Close codes that say that the reader may not read: 1008 is RFC 6455's policy violation, the others are HTTP's.
const REFUSALS: [u16; 3] = [1008, 4401, 4403];

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The page is there.
    Begun,
    /// The socket is open.
    Opened,
    /// The socket said something.
    Heard,
    /// The socket is closed, with this code.
    Closed(u16),
    /// The answer to [`Action::Poll`].
    Polled(Answer),
    /// The page is in the background.
    Hidden,
    /// The page is in sight.
    Shown,
    /// The browser leaves the page, perhaps to come back to it as it was.
    Left,
    /// The browser has a network.
    Online,
    /// It has none.
    Offline,
    /// The reader pressed the pause button.
    PauseToggled,
    /// What the edge sent cannot be read.
    Unreadable,
    /// The time of [`Connection::due`] has come.
    Due,
}

/// What the edge said to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The release, or that it has not changed.
    Read,
    /// The reader may not read it.
    Refused,
    /// There is nothing to read, as far as the reader may know.
    Gone,
    /// Nothing, or an error.
    Failed,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open a socket.
    Open,
    /// Close the socket, without listening to it any longer.
    Close,
    /// Send `ping`.
    Ping,
    /// Ask for the release.
    Poll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    Closed,
    Opening { since: u64 },
    Open { since: u64, heard: u64, pinged: Option<u64> },
}

/// Times are milliseconds of the browser's clock.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the page, each of which forbids to connect")]
pub(crate) struct Connection {
    socket: Socket,
    retry_at: Option<u64>,
    /// How many delays there were since a connection held.
    delays: u32,
    /// How many attempts in a row never became a connection.
    failures: u32,
    poll_at: Option<u64>,
    has_polled: bool,
    hidden_since: Option<u64>,
    is_asleep: bool,
    is_offline: bool,
    is_paused: bool,
    stopped: Option<Freshness>,
    /// When the edge was last heard; at first the time at which it made the page.
    heard: u64,
    /// Whether there is more to say than what the edge wrote into the page.
    has_news: bool,
}

impl Connection {
    /// A page that the edge has made at `at`.
    pub(crate) fn new(at: u64) -> Self {
        Self {
            socket: Socket::Closed,
            retry_at: None,
            delays: 0,
            failures: 0,
            poll_at: None,
            has_polled: false,
            hidden_since: None,
            is_asleep: false,
            is_offline: false,
            is_paused: false,
            stopped: None,
            heard: at,
            has_news: false,
        }
    }

    /// What to do now. `lot` is a random number below 1024.
    pub(crate) fn on(&mut self, event: Event, now: u64, lot: u64) -> Vec<Action> {
        match event {
            Event::Begun => self.open(now),
            Event::Opened => {
                self.socket = Socket::Open { since: now, heard: now, pinged: None };
                self.failures = 0;
                self.poll_at = None;
                self.hear(now);
                Vec::new()
            }
            Event::Heard => {
                if let Socket::Open { heard, pinged, .. } = &mut self.socket {
                    (*heard, *pinged) = (now, None);
                    self.hear(now);
                }
                Vec::new()
            }
            Event::Closed(code) if REFUSALS.contains(&code) => self.stop(Freshness::Refused),
            Event::Closed(_) => self.lost(now, lot),
            Event::Polled(answer) => self.polled(answer, now),
            Event::Hidden => {
                self.hidden_since = Some(now);
                Vec::new()
            }
            Event::Shown => {
                self.hidden_since = None;
                let slept = std::mem::take(&mut self.is_asleep);
                match &mut self.socket {
                    Socket::Closed if slept => self.open(now),
                    // The computer may have slept too: ask at once whether anybody is there.
                    Socket::Open { pinged: pinged @ None, .. } => {
                        *pinged = Some(now);
                        vec![Action::Ping]
                    }
                    _ => Vec::new(),
                }
            }
            Event::Left => self.sleep(),
            Event::Online => {
                self.is_offline = false;
                self.delays = 0;
                if self.socket == Socket::Closed { self.open(now) } else { Vec::new() }
            }
            Event::Offline => {
                self.is_offline = true;
                self.has_news = true;
                (self.retry_at, self.poll_at) = (None, None);
                Vec::new()
            }
            Event::PauseToggled => {
                self.is_paused = !self.is_paused;
                self.has_news = true;
                if self.is_paused { self.close() } else { self.open(now) }
            }
            Event::Unreadable => self.stop(Freshness::Outdated),
            Event::Due => self.due_now(now, lot),
        }
    }

    /// When [`Event::Due`] is to come.
    pub(crate) fn due(&self) -> Option<u64> {
        let socket = match self.socket {
            Socket::Closed => None,
            Socket::Opening { since } => Some(since + OPEN_WITHIN_MS),
            Socket::Open { pinged: Some(at), .. } => Some(at + PONG_WITHIN_MS),
            Socket::Open { heard, .. } => Some(heard + PING_EVERY_MS),
        };
        let hidden = self.hidden_since.filter(|_| !self.is_asleep).map(|since| since + HIDDEN_MS);
        [socket, hidden, self.retry_at, self.poll_at].into_iter().flatten().min()
    }

    /// How fresh the page is; `None` as long as what the edge wrote is still right.
    pub(crate) fn freshness(&self) -> Option<Freshness> {
        if !self.has_news {
            return None;
        }
        Some(match self.socket {
            _ if self.stopped.is_some() => self.stopped?,
            _ if self.is_paused => Freshness::Paused,
            Socket::Open { .. } => Freshness::Live,
            _ if self.is_offline => Freshness::Offline,
            _ if self.failures >= FAILURES_BEFORE_POLLING && self.has_polled => {
                Freshness::Polling(POLL_EVERY_MS / 1_000)
            }
            _ if self.failures >= FAILURES_BEFORE_POLLING => Freshness::Offline,
            _ => Freshness::Reconnecting,
        })
    }

    /// When the edge was last heard.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    fn hear(&mut self, now: u64) {
        self.heard = now;
        self.has_news = true;
    }

    fn may_connect(&self) -> bool {
        self.stopped.is_none() && !self.is_paused && !self.is_asleep && !self.is_offline
    }

    fn open(&mut self, now: u64) -> Vec<Action> {
        self.retry_at = None;
        if !self.may_connect() {
            return Vec::new();
        }
        self.socket = Socket::Opening { since: now };
        vec![Action::Open]
    }

    fn close(&mut self) -> Vec<Action> {
        (self.retry_at, self.poll_at) = (None, None);
        match std::mem::replace(&mut self.socket, Socket::Closed) {
            Socket::Closed => Vec::new(),
            _ => vec![Action::Close],
        }
    }

    fn sleep(&mut self) -> Vec<Action> {
        self.is_asleep = true;
        self.close()
    }

    fn stop(&mut self, why: Freshness) -> Vec<Action> {
        self.stopped = Some(why);
        self.has_news = true;
        self.close()
    }

    fn lost(&mut self, now: u64, lot: u64) -> Vec<Action> {
        match std::mem::replace(&mut self.socket, Socket::Closed) {
            Socket::Closed => return Vec::new(),
            Socket::Opening { .. } => self.failures += 1,
            Socket::Open { since, .. } => {
                if now.saturating_sub(since) >= HELD_MS {
                    self.delays = 0;
                }
            }
        }
        self.has_news = true;
        if !self.may_connect() {
            return Vec::new();
        }
        let delay_max = (RETRY_FIRST_MS << self.delays.min(7)).min(RETRY_MAX_MS);
        self.delays += 1;
        // Never at once: a server that closes every connection would be asked without a pause.
        self.retry_at = Some(now + delay_max / 8 + (delay_max - delay_max / 8) * lot.min(1023) / 1024);
        // A browser does not say why a socket was refused. The first failed attempt is followed by a question, whose
        // answer has a status.
        if self.failures > 0 && self.poll_at.is_none() {
            self.poll_at = Some(now);
            return self.poll(now);
        }
        Vec::new()
    }

    fn poll(&mut self, now: u64) -> Vec<Action> {
        self.poll_at = (self.failures >= FAILURES_BEFORE_POLLING).then_some(now + POLL_EVERY_MS);
        vec![Action::Poll]
    }

    fn polled(&mut self, answer: Answer, now: u64) -> Vec<Action> {
        self.has_polled = answer == Answer::Read;
        match answer {
            Answer::Refused => return self.stop(Freshness::Refused),
            Answer::Gone => return self.stop(Freshness::Gone),
            Answer::Read if self.stopped.is_none() => self.hear(now),
            Answer::Read | Answer::Failed => {}
        }
        Vec::new()
    }

    fn due_now(&mut self, now: u64, lot: u64) -> Vec<Action> {
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if !self.is_asleep && is_due(self.hidden_since.map(|since| since + HIDDEN_MS)) {
            return self.sleep();
        }
        let mut actions = Vec::new();
        match &mut self.socket {
            Socket::Opening { since } if *since + OPEN_WITHIN_MS <= now => {
                actions.push(Action::Close);
                actions.extend(self.lost(now, lot));
            }
            Socket::Open { pinged: Some(at), .. } if *at + PONG_WITHIN_MS <= now => {
                actions.push(Action::Close);
                actions.extend(self.lost(now, lot));
            }
            Socket::Open { heard, pinged: pinged @ None, .. } if *heard + PING_EVERY_MS <= now => {
                *pinged = Some(now);
                actions.push(Action::Ping);
            }
            _ => {}
        }
        if is_due(self.poll_at) {
            actions.extend(self.poll(now));
        }
        if is_due(self.retry_at) {
            actions.extend(self.open(now));
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    /// A connection that is open since [`START`].
    fn open() -> Connection {
        let mut connection = Connection::new(START - 500);
        assert_eq!(connection.on(Event::Begun, START - 100, 0), [Action::Open]);
        assert_eq!(connection.freshness(), None, "the page still shows what the edge wrote");
        assert_eq!(connection.on(Event::Opened, START, 0), []);
        connection
    }

    /// Lets the connection run until `end`, while every attempt to open a socket fails; returns when it tried.
    fn attempts(connection: &mut Connection, end: u64) -> Vec<u64> {
        let mut tried = Vec::new();
        while let Some(now) = connection.due().filter(|due| *due <= end) {
            if connection.on(Event::Due, now, 1023).contains(&Action::Open) {
                tried.push(now);
                connection.on(Event::Closed(1006), now, 1023);
            }
        }
        tried
    }

    #[test]
    fn an_open_socket_is_live_and_pinged_every_25_seconds() {
        let mut connection = open();
        assert_eq!(connection.freshness(), Some(Freshness::Live));
        assert_eq!(connection.due(), Some(START + 25_000));
        assert_eq!(connection.on(Event::Due, START + 25_000, 0), [Action::Ping]);
        connection.on(Event::Heard, START + 25_040, 0);
        assert_eq!(connection.due(), Some(START + 50_040));
        assert_eq!(connection.heard(), START + 25_040);
    }

    #[test]
    fn a_ping_without_an_answer_ends_the_connection() {
        let mut connection = open();
        connection.on(Event::Due, START + 25_000, 0);
        assert_eq!(connection.on(Event::Due, START + 35_000, 0), [Action::Close]);
        assert_eq!(connection.freshness(), Some(Freshness::Reconnecting));
        assert_eq!(connection.heard(), START, "the data is as old as it is");
    }

    #[test]
    fn delays_double_from_half_a_second_to_a_minute() {
        let mut connection = open();
        connection.on(Event::Closed(1006), START + 60_000, 1023);
        let tried = attempts(&mut connection, START + 600_000);
        let delays: Vec<u64> =
            std::iter::once(START + 60_000).chain(tried.clone()).zip(tried).map(|(from, to)| to - from).collect();
        assert_eq!(delays[..9], [499, 999, 1_998, 3_996, 7_993, 15_986, 31_972, 59_948, 59_948]);
    }

    #[test]
    fn the_lot_spreads_the_delays_but_never_to_nothing() {
        let mut connection = open();
        connection.on(Event::Closed(1006), START + 60_000, 0);
        assert_eq!(connection.due(), Some(START + 60_062));
    }

    #[test]
    fn a_server_that_hangs_up_at_once_is_not_asked_faster() {
        let mut connection = open();
        connection.on(Event::Closed(1011), START + 10, 1023);
        let first = connection.due().expect("a retry");
        connection.on(Event::Due, first, 0);
        connection.on(Event::Opened, first + 5, 0);
        connection.on(Event::Closed(1011), first + 15, 1023);
        assert_eq!(connection.due(), Some(first + 15 + 999));
    }

    #[test]
    fn two_failed_attempts_start_polling_and_a_socket_ends_it() {
        let mut connection = Connection::new(START);
        connection.on(Event::Begun, START, 0);
        assert_eq!(connection.on(Event::Closed(1006), START + 10, 1023), [Action::Poll], "to learn the status");
        connection.on(Event::Polled(Answer::Read), START + 20, 0);
        assert_eq!(connection.freshness(), Some(Freshness::Reconnecting));
        let retry = connection.due().expect("a retry");
        assert_eq!(connection.on(Event::Due, retry, 0), [Action::Open]);
        assert_eq!(connection.on(Event::Closed(1006), retry + 10, 1023), [Action::Poll]);
        connection.on(Event::Polled(Answer::Read), retry + 20, 0);
        assert_eq!(connection.freshness(), Some(Freshness::Polling(15)));
        let mut polls = 0;
        while let Some(now) = connection.due().filter(|due| *due < retry + 61_000) {
            let actions = connection.on(Event::Due, now, 1023);
            polls += usize::from(actions.contains(&Action::Poll));
            if actions.contains(&Action::Open) {
                assert_eq!(connection.on(Event::Closed(1006), now, 1023), [], "one question every 15 s, not more");
            }
        }
        assert_eq!(polls, 4);
        let retry = connection.retry_at.expect("sockets are tried on");
        connection.on(Event::Due, retry, 0);
        connection.on(Event::Opened, retry + 1, 0);
        assert_eq!(connection.freshness(), Some(Freshness::Live));
        assert_eq!(connection.poll_at, None);
    }

    #[test]
    fn polls_that_fail_too_mean_offline() {
        let mut connection = Connection::new(START);
        connection.on(Event::Begun, START, 0);
        connection.on(Event::Closed(1006), START, 0);
        connection.on(Event::Polled(Answer::Failed), START, 0);
        let retry = connection.due().expect("a retry");
        connection.on(Event::Due, retry, 0);
        connection.on(Event::Closed(1006), retry, 0);
        connection.on(Event::Polled(Answer::Failed), retry, 0);
        assert_eq!(connection.freshness(), Some(Freshness::Offline));
        assert_eq!(connection.heard(), START);
    }

    #[test]
    fn a_refusal_ends_all_asking() {
        for (event, said) in [
            (Event::Closed(4401), Freshness::Refused),
            (Event::Polled(Answer::Refused), Freshness::Refused),
            (Event::Polled(Answer::Gone), Freshness::Gone),
        ] {
            let mut connection = open();
            assert_eq!(connection.on(event, START + 1_000, 0), [Action::Close]);
            assert_eq!(connection.freshness(), Some(said));
            assert_eq!(connection.due(), None);
            for event in [Event::Shown, Event::Online, Event::Due, Event::Closed(1006)] {
                assert_eq!(connection.on(event, START + 100_000, 0), []);
            }
        }
    }

    #[test]
    fn a_hidden_page_hangs_up_after_a_minute_and_returns_when_seen() {
        let mut connection = open();
        connection.on(Event::Hidden, START + 1_000, 0);
        connection.on(Event::Due, START + 25_000, 0);
        connection.on(Event::Heard, START + 25_010, 0);
        connection.on(Event::Due, START + 50_010, 0);
        connection.on(Event::Heard, START + 50_020, 0);
        assert_eq!(connection.due(), Some(START + 61_000));
        assert_eq!(connection.on(Event::Due, START + 61_000, 0), [Action::Close]);
        assert_eq!(connection.due(), None);
        assert_eq!(connection.on(Event::Shown, START + 900_000, 0), [Action::Open]);
    }

    #[test]
    fn a_page_seen_again_within_the_minute_asks_whether_the_edge_is_there() {
        let mut connection = open();
        connection.on(Event::Hidden, START + 1_000, 0);
        assert_eq!(connection.on(Event::Shown, START + 9_000, 0), [Action::Ping]);
        assert_eq!(connection.due(), Some(START + 19_000));
    }

    #[test]
    fn a_paused_page_stays_as_it_is() {
        let mut connection = open();
        assert_eq!(connection.on(Event::PauseToggled, START + 1_000, 0), [Action::Close]);
        assert_eq!(connection.freshness(), Some(Freshness::Paused));
        assert_eq!(connection.due(), None);
        assert_eq!(connection.on(Event::Shown, START + 2_000, 0), []);
        assert_eq!(connection.on(Event::PauseToggled, START + 3_000, 0), [Action::Open]);
    }

    #[test]
    fn without_a_network_nothing_is_tried() {
        let mut connection = open();
        connection.on(Event::Offline, START + 1_000, 0);
        connection.on(Event::Closed(1006), START + 1_001, 0);
        assert_eq!(connection.freshness(), Some(Freshness::Offline));
        assert_eq!(connection.due(), None);
        assert_eq!(connection.on(Event::Online, START + 9_000, 0), [Action::Open]);
    }
}
