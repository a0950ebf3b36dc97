//! How often somebody may come whom GitLab turns out not to know.
//!
//! Each costs a question to GitLab, so there is a limit a minute. It is one for each address from which they come: with one
//! for all, a single stranger would keep everybody from signing in. Of IPv6 it is one for what a provider gives a customer:
//! whoever has one address there has more than anybody could count.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::time::Timestamp;

/// How many may come from one address in a minute.
const OF_ONE_MAX: u32 = 60;
/// How many may come in a minute from anywhere. It also bounds what is kept.
const OF_ALL_MAX: u32 = 600;

/// Those who came within this minute.
#[derive(Debug, Default)]
pub struct Strangers {
    minute: i64,
    all: u32,
    by_address: BTreeMap<String, u32>,
}

impl Strangers {
    /// Whether GitLab may be asked about one more from this address.
    pub fn may_come(&self, address: &str, now: Timestamp) -> bool {
        if self.minute != minute_of(now) {
            return true;
        }
        self.all < OF_ALL_MAX && self.by_address.get(&network(address)).is_none_or(|count| *count < OF_ONE_MAX)
    }

    /// Somebody came from this address, and GitLab does not know them.
    pub fn came(&mut self, address: &str, now: Timestamp) {
        if self.minute != minute_of(now) {
            *self = Self { minute: minute_of(now), ..Self::default() };
        }
        let network = network(address);
        let of_one = self.by_address.get(&network).copied().unwrap_or_default();
        // Whoever has come too often is not let in, and takes nothing from others.
        if of_one >= OF_ONE_MAX {
            return;
        }
        self.all = self.all.saturating_add(1);
        if of_one > 0 || self.by_address.len() < OF_ALL_MAX as usize {
            self.by_address.insert(network, of_one + 1);
        }
    }
}

/// Whose address it is: an IPv4 address is one customer's, and so are the first 48 bits of an IPv6 address.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [one, two, three, ..] = address.segments();
            format!("{one:x}:{two:x}:{three:x}::/48")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

fn minute_of(now: Timestamp) -> i64 {
    now.0.div_euclid(60_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The beginning of a minute.
    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    #[test]
    fn a_stranger_who_comes_as_often_as_they_like_keeps_nobody_else_from_signing_in() {
        let mut strangers = Strangers::default();
        let let_in = (0..10_000).filter(|_| {
            let may = strangers.may_come("192.0.2.1", NOW);
            if may {
                strangers.came("192.0.2.1", NOW);
            }
            may
        });
        assert_eq!(let_in.count(), 60);
        assert!(strangers.may_come("192.0.2.2", NOW));
        assert!(strangers.may_come("192.0.2.1", NOW + Duration::from_mins(1)), "a minute later they may again");
    }

    #[test]
    fn nobody_who_comes_without_being_let_in_counts_for_others() {
        let mut strangers = Strangers::default();
        for _ in 0..10_000 {
            strangers.came("192.0.2.1", NOW);
        }
        assert!(!strangers.may_come("192.0.2.1", NOW));
        assert!(strangers.may_come("192.0.2.2", NOW), "another may");
    }

    #[test]
    fn whoever_has_a_whole_network_of_addresses_comes_from_one_place() {
        let mut strangers = Strangers::default();
        let mut let_in = 0;
        for number in 0..10_000 {
            // A provider gives a customer a /56 or a /48.
            let address = format!("2001:db8:1:{:x}::{number:x}", number % 256);
            if strangers.may_come(&address, NOW) {
                strangers.came(&address, NOW);
                let_in += 1;
            }
        }
        assert_eq!(let_in, 60);
        assert!(strangers.may_come("2001:db8:2::1", NOW), "a neighbour may");
        // An IPv4 address is the same one however it is written.
        for _ in 0..60 {
            strangers.came("::ffff:192.0.2.1", NOW);
        }
        assert!(!strangers.may_come("192.0.2.1", NOW));
        assert!(strangers.may_come("::ffff:192.0.2.2", NOW));
    }

    #[test]
    fn strangers_from_everywhere_cost_gitlab_six_hundred_questions_a_minute_and_bounded_memory() {
        let mut strangers = Strangers::default();
        let mut questions = 0;
        for number in 0..100_000 {
            let address = format!("2001:{:x}:{:x}::1", number >> 16, number & 0xffff);
            if strangers.may_come(&address, NOW) {
                strangers.came(&address, NOW);
                questions += 1;
            }
        }
        assert_eq!(questions, 600);
        // Those who asked GitLab side by side are counted after they were let in.
        for number in 0..100_000 {
            strangers.came(&format!("2002:{:x}:{:x}::1", number >> 16, number & 0xffff), NOW);
        }
        assert!(strangers.by_address.len() <= 600);
    }
}
