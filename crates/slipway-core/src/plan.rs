//! What to do with one target, from what is seen in staging and in the public place.

use slipway_wire::{Digest, Planted, planted};

use crate::inventory::{Inventory, Seen, Served};

/// The next act, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Bring the staged file to the public place.
    Publish,
    /// The public place has it and its index serves it.
    Done,
    /// The public place has it; its index does not serve it yet.
    AwaitIndex,
    /// A file is there whose digest the server has not computed yet.
    AwaitDigest,
    /// The public place has other bytes under that name.
    Conflict {
        /// Their digest.
        public: Digest,
    },
    /// Staging does not have the file.
    Missing,
    /// Staging has other bytes than were approved.
    Changed {
        /// Their digest.
        staged: Digest,
    },
}

/// Decides. `approved` is the digest that a person released; nothing else may become public.
pub fn plan(approved: Digest, inventory: &Inventory) -> Plan {
    match inventory.public {
        Seen::Digest(public) if public != approved && !planted(Planted::IgnoresAConflict) => Plan::Conflict { public },
        Seen::Digest(_) => match &inventory.served {
            // An index that lists another digest than the server's own record is served to everybody: say so.
            Served::Digest(served) if *served != approved => Plan::Conflict { public: *served },
            Served::Digest(_) => Plan::Done,
            Served::Several(digests) => match digests.iter().find(|digest| **digest != approved) {
                Some(other) => Plan::Conflict { public: *other },
                None => Plan::Done,
            },
            Served::NotListed if planted(Planted::ReleasedWithoutIndex) => Plan::Done,
            Served::InMotion if planted(Planted::TrustsAnIndexInMotion) => Plan::Done,
            Served::NotListed | Served::InMotion => Plan::AwaitIndex,
        },
        Seen::WithoutDigest if planted(Planted::UnknownDigestIsEqual) => Plan::Done,
        Seen::WithoutDigest => Plan::AwaitDigest,
        Seen::Nothing => match inventory.staging {
            Seen::Digest(staged) if staged == approved || planted(Planted::PublishesWhateverIsStaged) => Plan::Publish,
            Seen::Digest(staged) => Plan::Changed { staged },
            Seen::WithoutDigest => Plan::AwaitDigest,
            Seen::Nothing => Plan::Missing,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One case a line: what staging, the public place and its index hold, and what follows. `aa` is approved.
    #[test]
    fn only_the_approved_bytes_are_copied_and_nothing_public_is_replaced() {
        let cases = "
            staging aa  public -   index -   => Publish
            staging bb  public -   index -   => Changed bb
            staging -   public -   index -   => Missing
            staging ?   public -   index -   => AwaitDigest
            staging aa  public aa  index -   => AwaitIndex
            staging aa  public aa  index ~   => AwaitIndex
            staging aa  public aa  index aa  => Done
            staging -   public aa  index aa  => Done
            staging bb  public aa  index aa  => Done
            staging aa  public aa  index bb  => Conflict bb
            staging aa  public aa  index aa+bb  => Conflict bb
            staging aa  public bb  index bb  => Conflict bb
            staging aa  public bb  index -   => Conflict bb
            staging -   public bb  index -   => Conflict bb
            staging aa  public ?   index -   => AwaitDigest
        ";
        for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, staging, _, public, _, index, _, expected @ ..] = words.as_slice() else { panic!("{line}") };
            let inventory = Inventory { staging: seen(staging), public: seen(public), served: served(index) };
            let found = match plan(digest("aa"), &inventory) {
                Plan::Conflict { public } => format!("Conflict {}", name(public)),
                Plan::Changed { staged } => format!("Changed {}", name(staged)),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected.join(" "), "{line}");
        }
    }

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn name(found: Digest) -> &'static str {
        ["aa", "bb"].into_iter().find(|name| digest(name) == found).expect("a digest of the table")
    }

    fn seen(text: &str) -> Seen {
        match text {
            "-" => Seen::Nothing,
            "?" => Seen::WithoutDigest,
            name => Seen::Digest(digest(name)),
        }
    }

    fn served(text: &str) -> Served {
        match text {
            "-" => Served::NotListed,
            "~" => Served::InMotion,
            "aa+bb" => Served::Several([digest("aa"), digest("bb")].into()),
            name => Served::Digest(digest(name)),
        }
    }
}
