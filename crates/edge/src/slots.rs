//! A question for a transfer slot, held open.
//!
//! Whoever comes next stands by, so that a slot is taken as soon as another's transfer ends, and not after a call and two
//! looks. What it saw may be some seconds old by then: [`package`](crate::package) looks once more before it sends.
//!
//! Who stands by is in memory alone: whoever is not answered asks again, and [`account`](crate::account) keeps its place
//! in the queue.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use slipway_core::promotion::Slot;
use slipway_ledger::{Sql, SqlError};

use crate::account::{Account, AskSlot, Called, SlotEnded};
use crate::port::Clock;

/// How long one who comes next stands by.
pub const STANDS_BY: Duration = Duration::from_secs(8);
/// How often one who stands by looks whether a transfer has ended.
const GLANCE: Duration = Duration::from_millis(15);

/// Those who stand by at an account.
#[derive(Debug, Default)]
pub struct StandingBy {
    /// How many questions each of them holds open: one whose answer was lost has asked again.
    questions: RefCell<BTreeMap<Called, u32>>,
    /// How many transfers have ended.
    endings: Cell<u64>,
}

impl StandingBy {
    fn has(&self, who: &Called) -> bool {
        self.questions.borrow().contains_key(who)
    }

    fn begins(&self, who: Called) -> Question<'_> {
        *self.questions.borrow_mut().entry(who.clone()).or_default() += 1;
        Question { all: self, who }
    }
}

/// One stands by until this is dropped: also when whoever asked is gone.
struct Question<'a> {
    all: &'a StandingBy,
    who: Called,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut questions = self.all.questions.borrow_mut();
        if let Some(open) = questions.get_mut(&self.who) {
            *open -= 1;
            if *open == 0 {
                questions.remove(&self.who);
            }
        }
    }
}

/// Lends a slot, or says when to ask again. One who comes next is answered when a slot is free, or after a while.
pub async fn slot(
    standing_by: &StandingBy,
    account: &Account<impl Sql>,
    clock: &impl Clock,
    ask: &AskSlot,
) -> Result<Slot, SqlError> {
    let began = clock.now();
    // A clock that is set back meanwhile holds nobody for longer.
    let stands_by = || (began..began + STANDS_BY).contains(&clock.now());
    loop {
        let endings = standing_by.endings.get();
        let slot = account.ask(ask, clock.now(), clock.chance())?;
        if !matches!(slot, Slot::Wait { .. }) || !stands_by() || !account.is_next(ask, clock.now())? {
            return Ok(slot);
        }
        let _question = standing_by.begins(Called { package: ask.package.clone(), distro: ask.distro.clone() });
        while standing_by.endings.get() == endings && stands_by() {
            clock.pause(GLANCE).await;
        }
    }
}

/// Takes a slot back, and says who is to be woken: those who stand by are not, they see it.
pub fn ended(
    standing_by: &StandingBy,
    account: &Account<impl Sql>,
    clock: &impl Clock,
    ended: &SlotEnded,
) -> Result<Vec<Called>, SqlError> {
    let mut called = account.ended(ended, clock.now())?;
    standing_by.endings.set(standing_by.endings.get().wrapping_add(1));
    called.retain(|who| !standing_by.has(who));
    Ok(called)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use slipway_core::release::Maturity;
    use slipway_core::time::Timestamp;
    use slipway_ledger::rusqlite::Database;

    use super::*;
    use crate::account::{Ending, LEASE};

    /// A clock that stands until it is set. A pause is over at the next poll.
    struct Time(Cell<Timestamp>);

    impl Clock for Time {
        fn now(&self) -> Timestamp {
            self.0.get()
        }

        fn random(&self) -> [u8; 16] {
            [0; 16]
        }

        async fn pause(&self, _wait: Duration) {
            let mut is_over = false;
            poll_fn(|_| if std::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        }
    }

    struct Story {
        account: Account<Database>,
        standing_by: StandingBy,
        time: Time,
        transfers: u32,
    }

    const ASKED_AT: Timestamp = Timestamp(1_795_392_000_000);

    /// What somebody has asked.
    type Asked<'a> = Pin<Box<dyn Future<Output = Result<Slot, SqlError>> + 'a>>;

    impl Story {
        /// All slots are lent, to `holder 1` and so on.
        fn begins(transfers: u32) -> Self {
            let account = Account::open(Database::in_memory()).expect("a database");
            let time = Time(Cell::new(Timestamp(1_795_392_000_000)));
            let story = Self { account, standing_by: StandingBy::default(), time, transfers };
            for number in 1..=transfers {
                assert_eq!(answer(&mut story.asks(&format!("holder {number}"))), Some(Slot::Lent));
            }
            story
        }

        fn asks(&self, package: &str) -> Asked<'_> {
            let ask = AskSlot {
                package: package.to_owned(),
                distro: "el/9".to_owned(),
                release: String::new(),
                maturity: Maturity::Final,
                name: package.to_owned(),
                transfers: self.transfers,
                asked_at: ASKED_AT,
            };
            Box::pin(async move { slot(&self.standing_by, &self.account, &self.time, &ask).await })
        }

        /// Asks, and stands by.
        fn stands_by(&self, package: &str) -> Asked<'_> {
            let mut asked = self.asks(package);
            assert_eq!(answer(&mut asked), None, "{package} stands by");
            self.after(Duration::from_millis(1));
            asked
        }

        /// A transfer ends; who is woken?
        fn ends(&self, package: &str) -> Vec<String> {
            let (package, distro) = (package.to_owned(), "el/9".to_owned());
            let over = SlotEnded { package, distro, asked_at: ASKED_AT, ending: Ending::Sent };
            let woken = ended(&self.standing_by, &self.account, &self.time, &over).expect("an answer");
            woken.into_iter().map(|called| called.package).collect()
        }

        fn after(&self, wait: Duration) {
            self.time.0.set(self.time.now() + wait);
        }
    }

    /// The answer, if there is one by now.
    fn answer(asked: &mut Asked<'_>) -> Option<Slot> {
        match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Some(slot.expect("the database answers")),
            Poll::Pending => None,
        }
    }

    fn is_told_to_wait(asked: &mut Asked<'_>) -> bool {
        matches!(answer(asked), Some(Slot::Wait { .. }))
    }

    #[test]
    fn who_stands_by_has_the_slot_as_soon_as_a_transfer_ends_and_is_not_woken_too() {
        let story = Story::begins(1);
        let mut next = story.stands_by("next");
        assert_eq!(answer(&mut next), None);
        assert_eq!(story.ends("holder 1"), [""; 0]);
        assert_eq!(answer(&mut next), Some(Slot::Lent));
    }

    #[test]
    fn one_who_does_not_come_next_is_told_to_wait_and_is_woken() {
        let story = Story::begins(1);
        let _next = story.stands_by("next");
        assert!(is_told_to_wait(&mut story.asks("later")));
        assert_eq!(story.ends("holder 1"), ["later"], "it comes next now");
    }

    #[test]
    fn of_two_who_stand_by_the_first_has_the_slot_even_if_the_second_looks_before_it() {
        let story = Story::begins(2);
        let (mut first, mut second) = (story.stands_by("first"), story.stands_by("second"));
        assert_eq!(story.ends("holder 2"), [""; 0]);
        assert_eq!(answer(&mut second), None);
        assert_eq!(answer(&mut first), Some(Slot::Lent));
        assert_eq!(story.ends("holder 1"), [""; 0], "the second still stands by");
        assert_eq!(answer(&mut second), Some(Slot::Lent));
    }

    #[test]
    fn one_whose_question_is_dropped_does_not_stand_by_any_more() {
        let story = Story::begins(1);
        drop(story.stands_by("gone"));
        assert_eq!(story.ends("holder 1"), ["gone"]);
    }

    #[test]
    fn one_who_has_asked_twice_stands_by_until_both_questions_are_dropped() {
        let story = Story::begins(1);
        let (lost, mut again) = (story.stands_by("next"), story.stands_by("next"));
        drop(lost);
        assert_eq!(story.ends("holder 1"), [""; 0]);
        assert_eq!(answer(&mut again), Some(Slot::Lent));
    }

    #[test]
    fn after_eight_seconds_one_is_told_to_wait_and_is_woken() {
        let story = Story::begins(1);
        let mut next = story.stands_by("next");
        story.after(Duration::from_millis(7998));
        assert_eq!(answer(&mut next), None);
        story.after(Duration::from_millis(1));
        assert!(is_told_to_wait(&mut next));
        drop(next);
        assert_eq!(story.ends("holder 1"), ["next"]);
    }

    #[test]
    fn a_lease_that_nobody_gives_back_is_seen_at_the_end_of_standing_by() {
        let story = Story::begins(1);
        story.after(LEASE.saturating_sub(Duration::from_secs(1)));
        let mut next = story.stands_by("next");
        story.after(STANDS_BY);
        assert_eq!(answer(&mut next), Some(Slot::Lent));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nobody_for_longer() {
        let story = Story::begins(1);
        let mut next = story.stands_by("next");
        story.time.0.set(Timestamp(story.time.now().0 - 3_600_000));
        assert!(answer(&mut next).is_some());
    }
}
