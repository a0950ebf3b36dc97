//! When to connect, to ask and to give up. Pure: the events and the time come in, what to do goes out.
//!
//! One socket a page. A lost one is tried again after a delay that doubles from half a second to a minute, drawn by lot
//! below that, so that a thousand pages do not return at once when the edge has restarted. After two attempts that never
//! became a connection, the page also asks every 15 seconds, as some networks let no socket through.
//!
//! An open socket alone proves nothing: a proxy may take it and lead it nowhere, and one that was good may have died while
//! the computer slept. So it is asked first, and what it said counts for as long as it would have spoken again.

use slipway_view::page::Freshness;

/// A little less than the half minute after which proxies begin to close idle connections.
const PING_EVERY_MS: u64 = 25_000;
/// A ping that is not answered in this time shows that the connection is dead, whatever the socket says.
const PONG_WITHIN_MS: u64 = 10_000;
/// So old may be what was heard last, while a socket is said to be live.
const LIVE_MS: u64 = PING_EVERY_MS + PONG_WITHIN_MS;
const OPEN_WITHIN_MS: u64 = 10_000;
const RETRY_FIRST_MS: u64 = 500;
const RETRY_MAX_MS: u64 = 60_000;
/// A connection that held this long was a good one: the next delay is the first one again.
const HELD_MS: u64 = 5_000;
const POLL_EVERY_MS: u64 = 15_000;
/// So old may be the last answer, while a page that asks is said to be live: an answer may take half a minute.
const POLLED_MS: u64 = 45_000;
/// A question that failed waits this many times as long as one that did not.
const SLOWEST: u32 = 4;
/// Changes whose beginning is missing are asked for at once, but not more often than this.
const MISSING_MS: u64 = 5_000;
const FAILURES_BEFORE_POLLING: u32 = 2;
/// A page in the background needs no connection; the visitor may still be on the way back for this long.
const HIDDEN_MS: u64 = 60_000;
/// Close codes that say that the reader may not read: 1008 is RFC 6455's policy violation, the others are HTTP's.
const REFUSALS: [u16; 3] = [1008, 4401, 4403];
/// The edge hangs up as planned: whoever reads is to show again that they may.
const AS_PLANNED: u16 = 1000;

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
    /// What the edge sent goes on from something that was never heard.
    Missing,
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
    /// An error, and for how many milliseconds nothing more is to be asked.
    Busy(u64),
}

impl Answer {
    /// How long the edge wants to be left alone.
    pub(crate) fn wait_ms(self) -> u64 {
        if let Self::Busy(wait) = self { wait } else { 0 }
    }
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
    Opening {
        since: u64,
    },
    /// `heard` is when it said something last, if ever.
    Open {
        since: u64,
        heard: Option<u64>,
        pinged: Option<u64>,
    },
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
    polled_at: u64,
    has_polled: bool,
    /// How many questions in a row have failed.
    polls_failed: u32,
    /// Whether something was said that cannot be understood without what came before.
    is_missing: bool,
    /// Whether the edge has hung up as planned, and nothing has failed since.
    is_renewing: bool,
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
            polled_at: 0,
            has_polled: false,
            polls_failed: 0,
            is_missing: false,
            is_renewing: false,
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
                self.socket = Socket::Open { since: now, heard: None, pinged: None };
                self.probe(now)
            }
            Event::Heard => {
                if let Socket::Open { heard, pinged, .. } = &mut self.socket {
                    (*heard, *pinged) = (Some(now), None);
                    (self.failures, self.is_renewing) = (0, false);
                    if !self.is_missing {
                        self.poll_at = None;
                    }
                    self.hear(now);
                }
                Vec::new()
            }
            Event::Closed(code) if REFUSALS.contains(&code) => self.stop(Freshness::Refused),
            Event::Closed(code) => {
                let is_good = matches!(self.socket, Socket::Open { heard: Some(_), .. });
                self.is_renewing = code == AS_PLANNED && is_good;
                if self.is_renewing {
                    self.hear(now);
                }
                self.lost(now, lot)
            }
            Event::Polled(answer) => self.polled(answer, now, lot),
            Event::Missing => self.ask_for_all(now, lot),
            Event::Hidden => {
                self.hidden_since = Some(now);
                Vec::new()
            }
            Event::Shown => {
                self.hidden_since = None;
                let slept = std::mem::take(&mut self.is_asleep);
                // The computer may have slept too.
                if slept && self.socket == Socket::Closed { self.open(now) } else { self.probe(now) }
            }
            Event::Left => self.sleep(),
            Event::Online => {
                self.is_offline = false;
                self.delays = 0;
                // It may be another one.
                let mut actions = if self.socket == Socket::Closed { self.open(now) } else { self.probe(now) };
                if std::mem::take(&mut self.is_missing) {
                    actions.extend(self.ask_for_all(now, lot));
                }
                actions
            }
            Event::Offline => {
                self.is_offline = true;
                self.has_news = true;
                (self.retry_at, self.poll_at) = (None, None);
                self.probe(now)
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
            Socket::Open { heard, .. } => heard.map(|heard| heard + PING_EVERY_MS),
        };
        let hidden = self.hidden_since.filter(|_| !self.is_asleep).map(|since| since + HIDDEN_MS);
        [socket, hidden, self.retry_at, self.poll_at].into_iter().flatten().min()
    }

    /// How fresh the page is now; `None` as long as what the edge wrote is still right.
    pub(crate) fn freshness(&self, now: u64) -> Option<Freshness> {
        if !self.has_news {
            return None;
        }
        let is_within = |limit: u64| now.saturating_sub(self.heard) <= limit;
        let is_open = matches!(self.socket, Socket::Open { heard: Some(_), .. });
        Some(match () {
            () if self.stopped.is_some() => self.stopped?,
            () if self.is_paused => Freshness::Paused,
            () if (is_open || self.is_renewing) && is_within(LIVE_MS) && !self.is_missing => Freshness::Live,
            () if self.is_offline => Freshness::Offline,
            () if self.failures < FAILURES_BEFORE_POLLING => Freshness::Reconnecting,
            () if !self.has_polled => Freshness::Offline,
            () if is_within(POLLED_MS) => Freshness::Polling(POLL_EVERY_MS / 1_000),
            () => Freshness::Reconnecting,
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

    /// Asks at once whether anybody is there, unless that is asked already.
    fn probe(&mut self, now: u64) -> Vec<Action> {
        match &mut self.socket {
            Socket::Open { pinged: pinged @ None, .. } => {
                *pinged = Some(now);
                vec![Action::Ping]
            }
            _ => Vec::new(),
        }
    }

    fn close(&mut self) -> Vec<Action> {
        (self.retry_at, self.poll_at) = (None, None);
        (self.is_missing, self.is_renewing) = (false, false);
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
            Socket::Opening { .. } | Socket::Open { heard: None, .. } => {
                self.failures += 1;
                self.is_renewing = false;
            }
            Socket::Open { since, .. } => {
                if now.saturating_sub(since) >= HELD_MS {
                    self.delays = 0;
                }
            }
        }
        self.has_news = true;
        // The next one begins with all of it.
        self.is_missing = false;
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
            return self.poll(now, lot);
        }
        Vec::new()
    }

    fn poll(&mut self, now: u64, lot: u64) -> Vec<Action> {
        let is_repeated = self.failures >= FAILURES_BEFORE_POLLING || self.is_missing;
        self.polled_at = now;
        self.poll_at = is_repeated.then(|| now + self.poll_wait(lot));
        vec![Action::Poll]
    }

    /// How long to wait before the next question. An eighth of it is drawn by lot.
    fn poll_wait(&self, lot: u64) -> u64 {
        let wait = POLL_EVERY_MS * u64::from((1 << self.polls_failed.min(8)).min(SLOWEST));
        wait + wait / 8 * lot.min(1023) / 1024
    }

    /// Something cannot be understood without what came before: asks for all of it.
    fn ask_for_all(&mut self, now: u64, lot: u64) -> Vec<Action> {
        if std::mem::replace(&mut self.is_missing, true) || !self.may_connect() {
            return Vec::new();
        }
        let soonest = self.polled_at + MISSING_MS;
        if self.polled_at > 0 && now < soonest {
            self.poll_at = Some(soonest);
            return Vec::new();
        }
        self.poll(now, lot)
    }

    fn polled(&mut self, answer: Answer, now: u64, lot: u64) -> Vec<Action> {
        self.has_polled = answer == Answer::Read;
        match answer {
            Answer::Refused => return self.stop(Freshness::Refused),
            Answer::Gone => return self.stop(Freshness::Gone),
            Answer::Read if self.stopped.is_none() => {
                (self.polls_failed, self.is_missing) = (0, false);
                let is_open = matches!(self.socket, Socket::Open { heard: Some(_), .. });
                self.poll_at = self.poll_at.filter(|_| !is_open).map(|_| now + self.poll_wait(lot));
                self.hear(now);
            }
            Answer::Read => {}
            Answer::Failed | Answer::Busy(_) => {
                self.polls_failed += 1;
                let soonest = now + answer.wait_ms();
                let wait = self.poll_wait(lot);
                self.poll_at = self.poll_at.map(|_| soonest.max(now + wait));
                self.retry_at = self.retry_at.map(|retry_at| retry_at.max(soonest));
            }
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
            Socket::Open { heard: Some(heard), pinged: pinged @ None, .. } if *heard + PING_EVERY_MS <= now => {
                *pinged = Some(now);
                actions.push(Action::Ping);
            }
            _ => {}
        }
        if is_due(self.poll_at) {
            actions.extend(self.poll(now, lot));
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
        assert_eq!(connection.freshness(START), None, "the page still shows what the edge wrote");
        assert_eq!(connection.on(Event::Opened, START - 50, 0), [Action::Ping]);
        assert_eq!(connection.freshness(START), None, "nothing was heard");
        assert_eq!(connection.on(Event::Heard, START, 0), []);
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
        assert_eq!(connection.freshness(START), Some(Freshness::Live));
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
        assert_eq!(connection.freshness(START + 35_000), Some(Freshness::Reconnecting));
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
    fn a_socket_that_opens_and_says_nothing_is_no_connection() {
        let mut connection = Connection::new(START);
        connection.on(Event::Begun, START, 0);
        let mut tried = Vec::new();
        for now in [START, START + 10_900] {
            assert_eq!(connection.on(Event::Opened, now + 10, 0), [Action::Ping]);
            assert_ne!(connection.freshness(now + 10), Some(Freshness::Live));
            assert_eq!(connection.due(), Some(now + 10_010));
            tried = connection.on(Event::Due, now + 10_010, 1023);
            assert_eq!(connection.heard(), START, "the data is as old as it is");
            connection.on(Event::Due, now + 10_900, 0);
        }
        assert_eq!(tried, [Action::Close, Action::Poll], "as where no socket gets through");
        connection.on(Event::Polled(Answer::Read), START + 22_000, 0);
        assert_eq!(connection.freshness(START + 22_000), Some(Freshness::Polling(15)));
    }

    #[test]
    fn a_computer_that_has_slept_does_not_call_its_data_live() {
        let mut connection = open();
        let awake = START + 3_600_000;
        assert_eq!(connection.freshness(awake), Some(Freshness::Reconnecting));
        assert_eq!(connection.on(Event::Due, awake, 0), [Action::Ping]);
        assert_eq!(connection.freshness(awake), Some(Freshness::Reconnecting));
        connection.on(Event::Heard, awake + 40, 0);
        assert_eq!(connection.freshness(awake + 40), Some(Freshness::Live));
        // The same where it asks.
        let mut connection = Connection::new(START);
        connection.on(Event::Begun, START, 0);
        for now in [START, START + 1_000] {
            connection.on(Event::Due, now, 0);
            connection.on(Event::Closed(1006), now, 0);
            connection.on(Event::Polled(Answer::Read), now, 0);
        }
        assert_eq!(connection.freshness(START + 40_000), Some(Freshness::Polling(15)));
        assert_eq!(connection.freshness(awake), Some(Freshness::Reconnecting));
    }

    #[test]
    fn what_is_due_at_every_time_keeps_a_live_page_live() {
        let mut connection = open();
        for _ in 0..50 {
            let now = connection.due().expect("a ping");
            assert_eq!(connection.on(Event::Due, now, 0), [Action::Ping]);
            assert_eq!(connection.freshness(now + 9_999), Some(Freshness::Live));
            connection.on(Event::Heard, now + 9_999, 0);
        }
    }

    #[test]
    fn an_end_as_planned_is_no_trouble_unless_no_other_connection_follows() {
        let mut connection = open();
        let closed = START + 300_000;
        connection.on(Event::Heard, closed - 20_000, 0);
        connection.on(Event::Closed(1000), closed, 0);
        assert_eq!(connection.freshness(closed), Some(Freshness::Live));
        let retry = connection.due().expect("a retry");
        assert_eq!(connection.on(Event::Due, retry, 0), [Action::Open]);
        assert_eq!(connection.freshness(retry), Some(Freshness::Live));
        let mut other = Connection::new(START);
        std::mem::swap(&mut connection, &mut other);
        other.on(Event::Closed(1006), retry + 10, 0);
        assert_eq!(other.freshness(retry + 10), Some(Freshness::Reconnecting));
        // One that never said anything was no good one.
        connection.on(Event::Begun, START, 0);
        connection.on(Event::Opened, START + 10, 0);
        connection.on(Event::Closed(1000), START + 20, 0);
        assert_eq!(connection.freshness(START + 20), Some(Freshness::Reconnecting));
    }

    #[test]
    fn what_is_missing_is_asked_for_until_it_is_there_and_is_not_called_live_before() {
        let mut connection = open();
        let now = START + 1_000;
        assert_eq!(connection.on(Event::Missing, now, 0), [Action::Poll]);
        assert_eq!(connection.on(Event::Missing, now + 10, 0), [], "one question at a time");
        connection.on(Event::Heard, now + 20, 0);
        assert_eq!(connection.freshness(now + 20), Some(Freshness::Reconnecting));
        connection.on(Event::Polled(Answer::Failed), now + 100, 0);
        let again = now + 100 + 30_000;
        assert_eq!(connection.poll_at, Some(again));
        connection.on(Event::Heard, again - 10, 0);
        assert_eq!(connection.on(Event::Due, again, 0), [Action::Poll]);
        connection.on(Event::Polled(Answer::Read), again + 10, 0);
        assert_eq!((connection.freshness(again + 10), connection.poll_at), (Some(Freshness::Live), None));
        // An answer from a time before, as a cache gives, does not make it ask without a pause.
        assert_eq!(connection.on(Event::Missing, again + 20, 0), []);
        assert_eq!(connection.due(), Some(again + 5_000));
        assert_eq!(connection.on(Event::Due, again + 5_000, 0), [Action::Poll]);
    }

    #[test]
    fn questions_that_fail_are_asked_less_often_and_not_before_the_edge_wants_them() {
        let mut connection = Connection::new(START);
        connection.on(Event::Begun, START, 0);
        for now in [START, START + 1_000] {
            connection.on(Event::Due, now, 0);
            connection.on(Event::Closed(1006), now, 0);
        }
        let mut now = START + 1_000;
        let mut waits = Vec::new();
        for answer in [Answer::Failed, Answer::Failed, Answer::Failed, Answer::Busy(120_000), Answer::Read] {
            connection.on(Event::Polled(answer), now, 0);
            let poll_at = connection.poll_at.expect("it goes on asking");
            waits.push(poll_at - now);
            now = poll_at;
            connection.retry_at = None;
            assert_eq!(connection.on(Event::Due, now, 0), [Action::Poll]);
        }
        assert_eq!(waits[..4], [30_000, 60_000, 60_000, 120_000]);
        assert_eq!(connection.poll_at, Some(now + 15_000), "one that was answered makes up for all");
        connection.retry_at = Some(now + 500);
        connection.on(Event::Polled(Answer::Busy(90_000)), now, 0);
        assert_eq!(connection.retry_at, Some(now + 90_000), "a socket is a question, too");
    }

    #[test]
    fn the_lot_spreads_questions_so_that_pages_that_began_together_do_not_go_on_together() {
        let waits = [0, 512, 1023].map(|lot| Connection::new(START).poll_wait(lot));
        assert_eq!(waits, [15_000, 15_937, 16_873]);
    }

    #[test]
    fn two_failed_attempts_start_polling_and_a_socket_ends_it() {
        let mut connection = Connection::new(START);
        connection.on(Event::Begun, START, 0);
        assert_eq!(connection.on(Event::Closed(1006), START + 10, 1023), [Action::Poll], "to learn the status");
        connection.on(Event::Polled(Answer::Read), START + 20, 0);
        assert_eq!(connection.freshness(START + 20), Some(Freshness::Reconnecting));
        let retry = connection.due().expect("a retry");
        assert_eq!(connection.on(Event::Due, retry, 0), [Action::Open]);
        assert_eq!(connection.on(Event::Closed(1006), retry + 10, 1023), [Action::Poll]);
        connection.on(Event::Polled(Answer::Read), retry + 20, 0);
        assert_eq!(connection.freshness(retry + 20), Some(Freshness::Polling(15)));
        let mut polls = 0;
        while let Some(now) = connection.due().filter(|due| *due < retry + 61_000) {
            let actions = connection.on(Event::Due, now, 0);
            polls += usize::from(actions.contains(&Action::Poll));
            if actions.contains(&Action::Open) {
                assert_eq!(connection.on(Event::Closed(1006), now, 1023), [], "one question every 15 s, not more");
            }
        }
        assert_eq!(polls, 4);
        let retry = connection.retry_at.expect("sockets are tried on");
        connection.on(Event::Due, retry, 0);
        connection.on(Event::Opened, retry + 1, 0);
        assert!(connection.poll_at.is_some(), "an open socket proves nothing");
        connection.on(Event::Heard, retry + 2, 0);
        assert_eq!(connection.freshness(retry + 2), Some(Freshness::Live));
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
        assert_eq!(connection.freshness(retry), Some(Freshness::Offline));
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
            assert_eq!(connection.freshness(START + 1_000), Some(said));
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
        assert_eq!(connection.freshness(START + 1_000), Some(Freshness::Paused));
        assert_eq!(connection.due(), None);
        assert_eq!(connection.on(Event::Shown, START + 2_000, 0), []);
        assert_eq!(connection.on(Event::PauseToggled, START + 3_000, 0), [Action::Open]);
    }

    #[test]
    fn without_a_network_nothing_is_tried() {
        let mut connection = open();
        assert_eq!(connection.on(Event::Offline, START + 1_000, 0), [Action::Ping], "the browser may be wrong");
        connection.on(Event::Closed(1006), START + 1_001, 0);
        assert_eq!(connection.freshness(START + 1_001), Some(Freshness::Offline));
        assert_eq!(connection.due(), None);
        assert_eq!(connection.on(Event::Online, START + 9_000, 0), [Action::Open]);
    }

    #[test]
    fn another_network_shows_soon_whether_the_socket_has_survived() {
        let mut connection = open();
        assert_eq!(connection.on(Event::Online, START + 1_000, 0), [Action::Ping]);
        assert_eq!(connection.due(), Some(START + 11_000));
        // What was missing is asked for on the new one.
        connection.on(Event::Heard, START + 1_010, 0);
        connection.on(Event::Missing, START + 20_000, 0);
        connection.on(Event::Offline, START + 20_010, 0);
        assert_eq!(connection.on(Event::Online, START + 30_000, 0), [Action::Poll]);
    }
}
