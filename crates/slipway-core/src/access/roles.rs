//! What GitLab has said of people's roles lately, and how long that is believed.
//!
//! Nobody acts by what is older than a minute, and nobody acts with a browser by anything but what GitLab says there and then. Reading goes
//! on for a while when GitLab does not answer: an outage is when people look at what is under way, and what they read was shown to them before.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_gitlab::AccessLevel;

use crate::time::Timestamp;

/// How long a role is believed. Somebody who lost it reads for that long at most, and acts with a program.
const BELIEVED_FOR: Duration = Duration::from_mins(1);
/// How long after GitLab last told it a member reads on while GitLab does not answer.
const READS_ON_FOR: Duration = Duration::from_hours(1);
/// How long GitLab is left alone after it was asked in vain. Until then its limit is waited for once, and not on every page.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(15);
/// How many roles are kept. Beyond it all are forgotten: asking again is cheap.
const ROLES_MAX: usize = 2000;

/// For what a role is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// To act with a browser, which may have been left open for hours.
    ActingInBrowser,
    /// To act with a program, or to judge what may be offered.
    Acting,
    /// To read.
    Reading,
}

/// What is known of a person in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// When GitLab has told it.
    pub told_at: Timestamp,
    /// The role. `None`: they are no member.
    pub level: Option<AccessLevel>,
    /// When they last ended all their sessions.
    pub signed_out_at: Option<Timestamp>,
    /// When GitLab was asked for it again, and did not answer.
    pub unanswered_at: Option<Timestamp>,
}

impl Role {
    /// Whether GitLab has answered when it was last asked.
    pub fn is_current(&self) -> bool {
        self.unanswered_at.is_none()
    }
}

/// Roles, by the ids of person and project.
#[derive(Debug, Default)]
pub struct Roles {
    known: BTreeMap<(u64, u64), Role>,
    /// When GitLab last did not answer, and how that came out, until it does.
    silent: Option<(Timestamp, String)>,
}

impl Roles {
    /// What is believed without a question. `None`: GitLab must be asked.
    pub fn believed(&self, of: (u64, u64), wanted: For, now: Timestamp) -> Option<Role> {
        let role = self.known.get(&of)?;
        let is_believed = match (wanted, role.unanswered_at) {
            (For::ActingInBrowser, _) | (For::Acting, Some(_)) => false,
            (For::Reading, Some(at)) => role.reads_on(now) && is_within(at, ASKED_AGAIN_AFTER, now),
            (_, None) => is_within(role.told_at, BELIEVED_FOR, now),
        };
        is_believed.then_some(*role)
    }

    /// GitLab has told a role.
    pub fn learn(&mut self, of: (u64, u64), role: Role) {
        if self.known.len() >= ROLES_MAX && !self.known.contains_key(&of) {
            self.known.clear();
        }
        self.known.insert(of, role);
        self.silent = None;
    }

    /// GitLab did not answer. What is believed all the same, with when they last signed out: a member's role, and to read. Whoever is no
    /// member is answered as if nothing were known of them, or they could tell a project that they were refused from one that is none.
    pub fn unanswered(
        &mut self,
        of: (u64, u64),
        wanted: For,
        signed_out_at: Option<Timestamp>,
        why: &str,
        now: Timestamp,
    ) -> Option<Role> {
        self.silent = Some((now, why.to_owned()));
        let role = self.known.get_mut(&of).filter(|role| wanted == For::Reading && role.reads_on(now))?;
        role.signed_out_at = signed_out_at;
        role.unanswered_at = Some(now);
        Some(*role)
    }

    /// Why GitLab did not answer when it was last asked, of anybody. `None`: it did. What nobody may know of is refused then as what GitLab
    /// was asked of in vain: some roles are believed still and others are not, and that would tell what there is.
    pub fn silent(&self, now: Timestamp) -> Option<&str> {
        self.silent.as_ref().filter(|(at, _)| is_within(*at, BELIEVED_FOR, now)).map(|(_, why)| why.as_str())
    }

    /// A person has ended all their sessions: what is known of them is asked anew.
    pub fn forget(&mut self, user_id: u64) {
        self.known.retain(|(of, _), _| *of != user_id);
    }
}

impl Role {
    fn reads_on(&self, now: Timestamp) -> bool {
        self.level.is_some() && is_within(self.told_at, READS_ON_FOR, now)
    }
}

/// Whether something was no longer ago than that. What seems to be later than now was when the clock was wrong.
fn is_within(at: Timestamp, limit: Duration, now: Timestamp) -> bool {
    at <= now && now.since(at) < limit
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_392_000_000);
    const MIRA: (u64, u64) = (7, 1001);

    fn told(level: Option<AccessLevel>) -> Roles {
        let mut roles = Roles::default();
        roles.learn(MIRA, Role { told_at: NOW, level, signed_out_at: None, unanswered_at: None });
        roles
    }

    fn seconds(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn a_role_is_believed_for_a_minute_and_not_at_all_by_whoever_acts_with_a_browser() {
        let roles = told(Some(AccessLevel::Developer));
        for (wanted, at, is_believed) in [
            (For::Reading, 59, true),
            (For::Reading, 60, false),
            (For::Acting, 59, true),
            (For::Acting, 60, false),
            (For::ActingInBrowser, 0, false),
        ] {
            assert_eq!(roles.believed(MIRA, wanted, seconds(at)).is_some(), is_believed, "{wanted:?} after {at} s");
        }
        assert_eq!(roles.believed((8, 1001), For::Reading, NOW), None, "another person");
        assert_eq!(roles.believed((7, 1002), For::Reading, NOW), None, "another project");
        assert_eq!(roles.believed(MIRA, For::Reading, Timestamp(NOW.0 - 1)), None, "the clock was wrong");
    }

    #[test]
    fn while_gitlab_does_not_answer_a_member_reads_on_for_an_hour_and_nobody_acts() {
        let mut roles = told(Some(AccessLevel::Reporter));
        for wanted in [For::Acting, For::ActingInBrowser] {
            assert_eq!(roles.unanswered(MIRA, wanted, None, "HTTP 503", seconds(61)), None, "{wanted:?}");
        }
        let role = roles.unanswered(MIRA, For::Reading, None, "HTTP 503", seconds(61)).expect("it is read");
        assert_eq!((role.level, role.is_current()), (Some(AccessLevel::Reporter), false));
        assert_eq!(roles.believed(MIRA, For::Acting, seconds(62)), None, "what is read by is not acted by");
        assert_eq!(roles.unanswered(MIRA, For::Acting, None, "HTTP 503", seconds(62)), None);
        assert!(roles.unanswered(MIRA, For::Reading, None, "HTTP 503", seconds(3599)).is_some());
        assert_eq!(roles.unanswered(MIRA, For::Reading, None, "HTTP 503", seconds(3600)), None);
        assert_eq!(roles.believed(MIRA, For::Reading, seconds(3600)), None);
    }

    #[test]
    fn a_silent_gitlab_is_asked_again_every_fifteen_seconds_and_believed_as_soon_as_it_answers() {
        let mut roles = told(Some(AccessLevel::Reporter));
        assert!(roles.unanswered(MIRA, For::Reading, None, "HTTP 503", seconds(100)).is_some());
        assert!(roles.believed(MIRA, For::Reading, seconds(114)).is_some());
        assert_eq!(roles.believed(MIRA, For::Reading, seconds(115)), None);
        roles.learn(MIRA, Role { told_at: seconds(115), level: None, signed_out_at: None, unanswered_at: None });
        let role = roles.believed(MIRA, For::Reading, seconds(116)).expect("it was told");
        assert_eq!((role.level, role.is_current()), (None, true), "no member any more");
    }

    #[test]
    fn a_silent_gitlab_makes_nobody_a_member_and_signs_nobody_in_again() {
        assert_eq!(told(None).unanswered(MIRA, For::Reading, None, "HTTP 503", seconds(61)), None, "no member");
        assert_eq!(Roles::default().unanswered(MIRA, For::Reading, None, "HTTP 503", NOW), None, "nothing is known");
        let mut roles = told(Some(AccessLevel::Owner));
        let role =
            roles.unanswered(MIRA, For::Reading, Some(seconds(30)), "HTTP 503", seconds(61)).expect("it is read");
        assert_eq!(role.signed_out_at, Some(seconds(30)), "the caller ends what began before");
        roles.forget(7);
        assert_eq!(roles.unanswered(MIRA, For::Reading, None, "HTTP 503", seconds(62)), None, "signed out");
    }

    #[test]
    fn gitlab_is_silent_from_a_question_that_it_did_not_answer_until_one_that_it_does() {
        let mut roles = told(None);
        assert_eq!(roles.silent(NOW), None);
        assert_eq!(roles.unanswered((8, 1002), For::Acting, None, "HTTP 503", seconds(5)), None);
        assert_eq!(roles.silent(seconds(64)), Some("HTTP 503"));
        assert_eq!(roles.silent(seconds(65)), None, "no role that it told before is believed any more");
        roles.learn(MIRA, Role { told_at: seconds(6), level: None, signed_out_at: None, unanswered_at: None });
        assert_eq!(roles.silent(seconds(6)), None);
    }

    #[test]
    fn however_many_people_there_are_memory_is_bounded() {
        let mut roles = Roles::default();
        for user_id in 0..10_000 {
            roles.learn((user_id, 1001), Role { told_at: NOW, level: None, signed_out_at: None, unanswered_at: None });
            assert!(roles.known.len() <= 2000);
        }
    }
}
