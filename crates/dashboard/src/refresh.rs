//! When to load the page again, for those of its parts that are not rendered here. Pure: events and the time come in.
//!
//! Most pages are live by this alone. On the page of a release, which a socket keeps live, it follows a change, for the
//! parts that only the edge can make. All who watch a release hear of a change at once, so each of them draws by lot when to
//! ask.

use slipway_view::page::Freshness;

use crate::connection::Answer;

/// However fast a release changes, its page is not loaded more often than this.
const PAUSE_MS: u64 = 10_000;
/// Nor more often than once in this time for each of its targets: a page of thousands takes half a second to be read.
const PAUSE_MS_PER_TARGET: u64 = 10;
/// Nor at once by all: the lot gives each page its moment within this time.
const SPREAD_MS: u64 = 3_000;
/// So old may be the last answer, while the page is said to be live: an answer may take half a minute.
const FRESH_MS: u64 = 45_000;
/// A question that failed waits this many times as long as one that did not.
const SLOWEST: u32 = 4;
/// So many failures in a row are no accident any more.
const FAILURES_BEFORE_OFFLINE: u32 = 3;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The release has changed.
    Changed,
    /// The browser shows a page again that it had kept.
    Returned,
    /// The answer to the question.
    Answered(Answer),
    /// The page is in the background.
    Hidden,
    /// The page is in sight.
    Shown,
    /// The browser has a network.
    Online,
    /// It has none.
    Offline,
    /// The reader pressed the pause button.
    PauseToggled,
    /// The time of [`Refresh::due`] has come.
    Due,
}

/// Times are milliseconds of the browser's clock.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the page, each of which forbids to ask")]
pub(crate) struct Refresh {
    /// How often the page says that it is to be loaded. `None` where something else says when.
    every_ms: Option<u64>,
    pause_ms: u64,
    due: Option<u64>,
    /// Before which the edge wants to be asked nothing.
    not_before: u64,
    asked: u64,
    is_asking: bool,
    failures: u32,
    is_hidden: bool,
    is_offline: bool,
    is_paused: bool,
    stopped: Option<Freshness>,
    heard: u64,
    /// When that was, by the browser's clock.
    heard_here: u64,
    has_news: bool,
}

impl Refresh {
    /// A page of so many targets that the edge has made at `at`.
    pub(crate) fn new(at: u64, every_ms: Option<u64>, targets: u64, now: u64) -> Self {
        Self {
            every_ms,
            pause_ms: PAUSE_MS + PAUSE_MS_PER_TARGET * targets,
            due: every_ms.map(|every| now + every),
            not_before: 0,
            asked: 0,
            is_asking: false,
            failures: 0,
            is_hidden: false,
            is_offline: false,
            is_paused: false,
            stopped: None,
            heard: at,
            heard_here: now,
            has_news: false,
        }
    }

    /// Whether to load the page now. `lot` is a random number below 1024.
    pub(crate) fn on(&mut self, event: Event, now: u64, lot: u64) -> bool {
        let lot = lot.min(1023);
        match event {
            Event::Changed => {
                // Drawn once: the next change does not bring it nearer.
                let soonest = now.max(self.asked + self.pause_ms);
                let is_soon = self.due.is_some_and(|due| due <= soonest + SPREAD_MS);
                self.due = self.due.filter(|_| is_soon).or(Some(soonest + SPREAD_MS * lot / 1024));
            }
            Event::Returned => self.due = Some(now),
            Event::Answered(answer) => self.answered(answer, now, lot),
            Event::Hidden => self.is_hidden = true,
            Event::Shown => self.is_hidden = false,
            Event::Online => (self.is_offline, self.failures) = (false, 0),
            Event::Offline => (self.is_offline, self.has_news) = (true, true),
            Event::PauseToggled => (self.is_paused, self.has_news) = (!self.is_paused, true),
            Event::Due => {}
        }
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            (self.is_asking, self.asked, self.due) = (true, now, None);
        }
        is_due
    }

    fn answered(&mut self, answer: Answer, now: u64, lot: u64) {
        self.is_asking = false;
        self.has_news = true;
        match answer {
            Answer::Read => (self.failures, self.heard, self.heard_here) = (0, now, now),
            Answer::Failed | Answer::Busy(_) => self.failures += 1,
            Answer::Refused => self.stopped = Some(Freshness::Refused),
            Answer::Gone => self.stopped = Some(Freshness::Gone),
        }
        let wait = self.every_ms.or_else(|| (answer != Answer::Read).then_some(self.pause_ms));
        if let Some(wait) = wait {
            let wait = wait * u64::from((1 << self.failures.min(8)).min(SLOWEST));
            let next = now + wait + wait / 8 * lot / 1024;
            self.due = Some(self.due.map_or(next, |due| due.min(next)));
        }
        self.not_before = now + answer.wait_ms();
    }

    /// When [`Event::Due`] is to come.
    pub(crate) fn due(&self) -> Option<u64> {
        let may_ask =
            !self.is_asking && !self.is_hidden && !self.is_offline && !self.is_paused && self.stopped.is_none();
        self.due.filter(|_| may_ask).map(|due| due.max(self.not_before))
    }

    /// How fresh the page is now; `None` as long as what the edge wrote is still right.
    pub(crate) fn freshness(&self, now: u64) -> Option<Freshness> {
        let is_old = now.saturating_sub(self.heard_here) > FRESH_MS.max(2 * self.every_ms.unwrap_or_default());
        if !self.has_news && !is_old {
            return None;
        }
        Some(match self.failures {
            _ if self.stopped.is_some() => self.stopped?,
            _ if self.is_paused => Freshness::Paused,
            _ if self.is_offline => Freshness::Offline,
            // Nobody has looked at it for long, or the computer has slept.
            0 if is_old => Freshness::Reconnecting,
            0 => Freshness::Polling(self.every_ms.unwrap_or(self.pause_ms) / 1_000),
            1..FAILURES_BEFORE_OFFLINE => Freshness::Reconnecting,
            _ => Freshness::Offline,
        })
    }

    /// When the edge was last heard.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    fn every_15_s() -> Refresh {
        Refresh::new(START - 500, Some(15_000), 0, START)
    }

    #[test]
    fn a_page_is_loaded_again_as_often_as_it_says() {
        let mut refresh = every_15_s();
        assert_eq!(refresh.freshness(START), None, "the page still shows what the edge wrote");
        assert!(!refresh.on(Event::Due, START + 14_999, 0));
        assert!(refresh.on(Event::Due, START + 15_000, 0));
        assert_eq!(refresh.due(), None, "one question at a time");
        assert!(!refresh.on(Event::Answered(Answer::Read), START + 15_200, 0));
        assert_eq!(refresh.due(), Some(START + 30_200));
        assert_eq!(
            (refresh.freshness(START + 15_200), refresh.heard()),
            (Some(Freshness::Polling(15)), START + 15_200)
        );
    }

    #[test]
    fn a_page_that_nobody_sees_asks_nothing_and_asks_at_once_when_it_is_seen() {
        let mut refresh = every_15_s();
        refresh.on(Event::Hidden, START + 1_000, 0);
        assert_eq!(refresh.due(), None);
        assert!(!refresh.on(Event::Due, START + 60_000, 0));
        assert!(refresh.on(Event::Shown, START + 90_000, 0));
    }

    #[test]
    fn a_paused_page_asks_nothing() {
        let mut refresh = every_15_s();
        assert!(!refresh.on(Event::PauseToggled, START + 1_000, 0));
        assert_eq!((refresh.due(), refresh.freshness(START + 1_000)), (None, Some(Freshness::Paused)));
        assert!(refresh.on(Event::PauseToggled, START + 20_000, 0), "what was missed is asked for at once");
    }

    #[test]
    fn without_a_network_nothing_is_asked() {
        let mut refresh = every_15_s();
        refresh.on(Event::Offline, START + 1_000, 0);
        assert_eq!((refresh.due(), refresh.freshness(START + 1_000)), (None, Some(Freshness::Offline)));
        assert!(refresh.on(Event::Online, START + 20_000, 0));
    }

    #[test]
    fn a_refusal_ends_all_asking_and_says_why() {
        for (answer, said) in [(Answer::Refused, Freshness::Refused), (Answer::Gone, Freshness::Gone)] {
            let mut refresh = every_15_s();
            refresh.on(Event::Due, START + 15_000, 0);
            refresh.on(Event::Answered(answer), START + 15_100, 0);
            assert_eq!((refresh.freshness(START + 15_100), refresh.due()), (Some(said), None));
            for event in [Event::Shown, Event::Online, Event::Changed, Event::Due] {
                assert!(!refresh.on(event, START + 100_000, 0), "{event:?}");
            }
        }
    }

    #[test]
    fn failures_are_asked_less_often_and_the_page_says_that_it_is_old() {
        let mut refresh = every_15_s();
        let mut waits = Vec::new();
        let mut said = Vec::new();
        for _ in 0..4 {
            let now = refresh.due().expect("it goes on asking");
            assert!(refresh.on(Event::Due, now, 0));
            refresh.on(Event::Answered(Answer::Failed), now, 0);
            waits.push(refresh.due().expect("it goes on asking") - now);
            said.push(refresh.freshness(now).expect("news"));
        }
        assert_eq!(waits, [30_000, 60_000, 60_000, 60_000]);
        assert_eq!(said, [Freshness::Reconnecting, Freshness::Reconnecting, Freshness::Offline, Freshness::Offline]);
        assert_eq!(refresh.heard(), START - 500, "the data is as old as it is");
    }

    #[test]
    fn a_release_that_changes_all_the_time_is_loaded_every_ten_seconds_and_else_never() {
        let mut refresh = Refresh::new(START, None, 0, START);
        assert_eq!(refresh.due(), None);
        assert!(refresh.on(Event::Changed, START + 20_000, 0));
        refresh.on(Event::Answered(Answer::Read), START + 20_100, 0);
        assert_eq!(refresh.due(), None);
        assert!(!refresh.on(Event::Changed, START + 21_000, 0));
        assert!(!refresh.on(Event::Changed, START + 22_000, 0));
        assert_eq!(refresh.due(), Some(START + 30_000));
        assert!(refresh.on(Event::Due, START + 30_000, 0));
        assert!(!refresh.on(Event::Changed, START + 30_001, 0), "a change during the question waits for the next");
        refresh.on(Event::Answered(Answer::Read), START + 30_100, 0);
        assert_eq!(refresh.due(), Some(START + 40_000));
    }

    #[test]
    fn two_hundred_pages_that_hear_of_a_change_do_not_ask_at_once() {
        let mut moments = Vec::new();
        for lot in [0, 341, 683, 1023] {
            let mut refresh = Refresh::new(START, None, 0, START);
            refresh.on(Event::Changed, START + 20_000, lot);
            moments.push(refresh.due().map_or(0, |due| due - START));
            // The next change neither delays it nor brings it nearer.
            refresh.on(Event::Changed, START + 20_001, 1023 - lot);
            if lot > 0 {
                assert_eq!(refresh.due().map(|due| due - START), moments.last().copied());
            }
        }
        assert_eq!(moments, [0, 20_999, 22_000, 22_997], "the first has asked");
        // Nor do pages go on together that failed together.
        let next = |lot| {
            let mut refresh = every_15_s();
            refresh.on(Event::Due, START + 15_000, 0);
            refresh.on(Event::Answered(Answer::Failed), START + 15_000, lot);
            refresh.due().map_or(0, |due| due - START - 15_000)
        };
        assert_eq!([next(0), next(512), next(1023)], [30_000, 31_875, 33_746]);
    }

    #[test]
    fn what_the_edge_does_not_want_to_be_asked_yet_is_not_asked_whatever_changes() {
        let mut refresh = every_15_s();
        refresh.on(Event::Due, START + 15_000, 0);
        refresh.on(Event::Answered(Answer::Busy(120_000)), START + 15_000, 0);
        assert_eq!(refresh.due(), Some(START + 135_000));
        for event in [Event::Changed, Event::Returned, Event::Shown, Event::Online, Event::Due] {
            assert!(!refresh.on(event, START + 60_000, 0), "{event:?}");
        }
        assert!(refresh.on(Event::Due, START + 135_000, 0));
    }

    #[test]
    fn a_page_that_nobody_has_looked_at_for_an_hour_is_old_until_it_is_answered() {
        let mut refresh = every_15_s();
        refresh.on(Event::Hidden, START + 1_000, 0);
        let seen = START + 3_600_000;
        assert!(refresh.on(Event::Shown, seen, 0));
        assert_eq!(refresh.freshness(seen), Some(Freshness::Reconnecting));
        refresh.on(Event::Answered(Answer::Read), seen + 300, 0);
        assert_eq!(refresh.freshness(seen + 300), Some(Freshness::Polling(15)));
        // The computer has slept, and its timers with it.
        assert_eq!(refresh.freshness(seen + 3_600_000), Some(Freshness::Reconnecting));
    }

    #[test]
    fn a_page_of_thousands_is_loaded_once_a_minute() {
        let mut refresh = Refresh::new(START, None, 5_000, START);
        assert!(refresh.on(Event::Changed, START, 0));
        refresh.on(Event::Answered(Answer::Read), START + 500, 0);
        refresh.on(Event::Changed, START + 1_000, 0);
        assert_eq!(refresh.due(), Some(START + 60_000));
    }
}
