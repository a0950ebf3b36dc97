//! How often one person may act with a browser.
//!
//! Whoever acts is looked up at GitLab there and then, with the token by which releases are judged too, and GitLab answers so many
//! questions of one token. Anybody with an account at GitLab can sign in, and have their browser ask as fast as it likes. The limit
//! is one person's: nobody takes acting away from another.

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// How often in a minute. A person who presses buttons does not come near.
const OF_ONE_MAX: u32 = 60;
/// How many people are counted. Beyond that all begin anew.
const PEOPLE_MAX: usize = 2000;

/// Those who acted within this minute.
#[derive(Debug, Default)]
pub struct Pace {
    minute: i64,
    by_person: BTreeMap<u64, u32>,
}

impl Pace {
    /// Whether this person may act once more. It is counted with that.
    pub fn may_act(&mut self, user_id: u64, now: Timestamp) -> bool {
        let minute = now.0.div_euclid(60_000);
        if self.minute != minute || (self.by_person.len() >= PEOPLE_MAX && !self.by_person.contains_key(&user_id)) {
            *self = Self { minute, ..Self::default() };
        }
        let count = self.by_person.entry(user_id).or_default();
        *count = count.saturating_add(1);
        *count <= OF_ONE_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The beginning of a minute.
    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    #[test]
    fn a_person_acts_sixty_times_a_minute_and_takes_nothing_from_others() {
        let mut pace = Pace::default();
        let acts = (0..10_000).filter(|_| pace.may_act(7, NOW)).count();
        assert_eq!(acts, 60);
        assert!(pace.may_act(8, NOW), "another may");
        assert!(!pace.may_act(7, NOW + Duration::from_secs(59)));
        assert!(pace.may_act(7, NOW + Duration::from_mins(1)), "a minute later they may again");
    }

    #[test]
    fn however_many_people_there_are_memory_is_bounded() {
        let mut pace = Pace::default();
        for user_id in 0..100_000 {
            assert!(pace.may_act(user_id, NOW));
            assert!(pace.by_person.len() <= 2000);
        }
    }
}
