//! The issuer's keys as an isolate keeps them: when they may be used, and when GitLab may be asked for them again.
//!
//! Whoever knocks names a key, and most who knock may be strangers: so a name that is not known leads to one question a
//! minute at most, however many are made up. GitLab's outages are outlived with the last set, for a day; then nobody gets a
//! session, since a key that GitLab has withdrawn must not open doors for ever.

use std::time::Duration;

use slipway_gitlab::{Jwks, RsaKey};

use crate::time::Timestamp;

/// GitLab is asked at most this often for a key that is not known.
const ASKED_AGAIN: Duration = Duration::from_mins(1);
/// After a failure it may be asked again sooner, while there is no set at all: jobs wait for it.
const FAILED_AGAIN: Duration = Duration::from_secs(5);
/// A set this old is asked for again before it is used.
const FRESH: Duration = Duration::from_hours(1);
/// A set this old is not used, whatever GitLab's state.
const USABLE: Duration = Duration::from_hours(24);
/// How long one who asks GitLab keeps others from asking too.
const ASKING: Duration = Duration::from_secs(10);

/// The last key set that was read, and when GitLab was asked.
#[derive(Debug, Default)]
pub struct Keyring {
    set: Option<(Timestamp, Jwks)>,
    failed_at: Option<Timestamp>,
    /// When somebody began to ask GitLab, who has no answer yet.
    asking_since: Option<Timestamp>,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This is it.
    Key(RsaKey),
    /// GitLab has none of this name.
    NoSuchKey,
    /// GitLab must be asked first.
    Ask,
    /// It cannot be told: there is no usable set, and GitLab was asked moments ago in vain.
    Unavailable,
}

impl Keyring {
    /// Looks for a key. Whoever is told to ask must say by [`Keyring::learn`] or [`Keyring::fail`] what came of it.
    pub fn find(&mut self, key_id: &str, now: Timestamp) -> Found {
        let usable = self.usable(now);
        let known = usable.and_then(|(_, keys)| keys.find(key_id).cloned());
        let fresh_for = if known.is_some() { FRESH } else { ASKED_AGAIN };
        if usable.is_some_and(|(age, _)| age < fresh_for) {
            return known.map_or(Found::NoSuchKey, Found::Key);
        }
        let wait = if usable.is_some() { ASKED_AGAIN } else { FAILED_AGAIN };
        if self.failed_at.is_some_and(|at| at <= now && now.since(at) < wait) {
            return self.after_failure(key_id, now);
        }
        // Without any set, jobs that come together ask together: none could go on otherwise.
        if usable.is_some() && self.asking_since.is_some_and(|at| at <= now && now.since(at) < ASKING) {
            return self.after_failure(key_id, now);
        }
        self.asking_since = Some(now);
        Found::Ask
    }

    /// Keeps what GitLab answered.
    pub fn learn(&mut self, keys: Jwks, now: Timestamp) {
        *self = Self { set: Some((now, keys)), ..Self::default() };
    }

    /// Remembers that GitLab did not answer, and looks again: what is known of it may do.
    pub fn fail(&mut self, key_id: &str, now: Timestamp) -> Found {
        self.failed_at = Some(now);
        self.asking_since = None;
        self.after_failure(key_id, now)
    }

    /// A key that is not in a set of which nobody knows whether it is the newest may exist all the same.
    fn after_failure(&self, key_id: &str, now: Timestamp) -> Found {
        let known = self.usable(now).and_then(|(_, keys)| keys.find(key_id).cloned());
        known.map_or(Found::Unavailable, Found::Key)
    }

    /// The set and its age. One that was read later than now was read when a clock was wrong: nobody knows how old it is.
    fn usable(&self, now: Timestamp) -> Option<(Duration, &Jwks)> {
        let (read_at, keys) = self.set.as_ref().filter(|(read_at, _)| *read_at <= now)?;
        let age = now.since(*read_at);
        (age < USABLE).then_some((age, keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    fn keys(kids: &[&str]) -> Jwks {
        use base64::Engine as _;
        let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([0xc3; 256]);
        let keys: Vec<_> =
            kids.iter().map(|kid| serde_json::json!({"kty": "RSA", "kid": kid, "n": n, "e": "AQAB"})).collect();
        Jwks::parse(serde_json::json!({ "keys": keys }).to_string().as_bytes()).expect("a set")
    }

    fn word(found: &Found) -> &'static str {
        match found {
            Found::Key(_) => "key",
            Found::NoSuchKey => "no such key",
            Found::Ask => "ask",
            Found::Unavailable => "unavailable",
        }
    }

    #[test]
    fn ten_thousand_made_up_keys_cause_one_question_a_minute() {
        let mut ring = Keyring::default();
        let mut questions = 0;
        for number in 0..10_000_u64 {
            // Ten minutes, spread evenly.
            let now = NOW + Duration::from_millis(number * 60);
            if ring.find(&format!("made-up-{number}"), now) == Found::Ask {
                questions += 1;
                ring.learn(keys(&["one"]), now);
            }
        }
        assert_eq!(questions, 10);
        assert_eq!(word(&ring.find("one", NOW + Duration::from_mins(10))), "key");
    }

    #[test]
    fn ten_thousand_made_up_keys_cause_one_question_a_minute_while_gitlab_is_away_too() {
        let mut ring = Keyring::default();
        ring.learn(keys(&["one"]), NOW);
        let (mut questions, began) = (0, NOW + ASKED_AGAIN);
        for number in 0..10_000_u64 {
            let now = began + Duration::from_millis(number * 60);
            if ring.find(&format!("made-up-{number}"), now) == Found::Ask {
                questions += 1;
                assert_eq!(ring.fail("made-up", now), Found::Unavailable);
            }
            assert_eq!(word(&ring.find("one", now)), "key", "known jobs go on");
        }
        assert_eq!(questions, 10);
    }

    #[test]
    fn a_set_is_used_for_a_day_while_gitlab_cannot_be_asked_and_then_no_longer() {
        let mut ring = Keyring::default();
        ring.learn(keys(&["one"]), NOW);
        for (seconds, expected) in [
            (0, "key"),
            (3599, "key"),
            (3600, "key after a failure"),
            (24 * 3600 - 1, "key after a failure"),
            (24 * 3600 + 5, "unavailable after a failure"),
            (48 * 3600, "unavailable after a failure"),
        ] {
            let now = NOW + Duration::from_secs(seconds);
            let found = match ring.find("one", now) {
                Found::Ask => format!("{} after a failure", word(&ring.fail("one", now))),
                found => word(&found).to_owned(),
            };
            assert_eq!(found, expected, "{seconds} s");
        }
    }

    #[test]
    fn a_new_key_is_found_within_a_minute_of_its_first_use() {
        let mut ring = Keyring::default();
        ring.learn(keys(&["old"]), NOW);
        assert_eq!(word(&ring.find("new", NOW + Duration::from_secs(59))), "no such key");
        assert_eq!(word(&ring.find("new", NOW + Duration::from_mins(1))), "ask");
        ring.learn(keys(&["old", "new"]), NOW + Duration::from_mins(1));
        assert_eq!(word(&ring.find("new", NOW + Duration::from_secs(61))), "key");
    }

    #[test]
    fn without_any_set_a_failure_is_tried_again_after_seconds() {
        let mut ring = Keyring::default();
        assert_eq!(word(&ring.find("one", NOW)), "ask");
        assert_eq!(word(&ring.fail("one", NOW)), "unavailable");
        assert_eq!(word(&ring.find("one", NOW + Duration::from_secs(4))), "unavailable");
        assert_eq!(word(&ring.find("one", NOW + Duration::from_secs(5))), "ask");
    }

    #[test]
    fn one_asks_for_all_who_come_meanwhile() {
        let mut ring = Keyring::default();
        ring.learn(keys(&["old"]), NOW);
        let now = NOW + FRESH;
        assert_eq!(word(&ring.find("new", now)), "ask");
        assert_eq!(word(&ring.find("new", now)), "unavailable", "it may be the newest key: try again");
        assert_eq!(word(&ring.find("old", now)), "key");
        ring.learn(keys(&["old", "new"]), now);
        assert_eq!(word(&ring.find("new", now)), "key");
        // One who asked and was killed keeps nobody from asking for long.
        assert_eq!(word(&ring.find("newer", now + ASKED_AGAIN)), "ask");
        assert_eq!(word(&ring.find("newer", now + ASKED_AGAIN + ASKING)), "ask");
    }

    #[test]
    fn a_set_of_the_future_is_as_good_as_none() {
        let mut ring = Keyring::default();
        ring.learn(keys(&["one"]), NOW + Duration::from_hours(1));
        assert_eq!(word(&ring.find("one", NOW)), "ask");
    }
}
