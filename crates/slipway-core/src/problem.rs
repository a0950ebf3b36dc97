//! Why a target is not further: every kind of problem there is, by a stable code.
//!
//! A code fixes who acts next, what to do, and whether trying again is safe; what happened, and what the public can see
//! of it, are facts of the case. `docs/release-managers/problems.md` has a line for each code, and a test holds it to
//! this list.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::{Evidence, Problem};

/// The kinds of problems. Their names are part of the API: none is changed or used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Something passing went wrong; it is tried again by itself.
    Trouble,
    /// It was tried again and again, in vain.
    Unreachable,
    /// The account at the destination is cut off.
    AccountCutOff,
    /// The account stayed cut off for as long as an approval holds.
    StillCutOff,
    /// The place does not know the token, or does not let it do this.
    NoAccess,
    /// The place refuses the package.
    Refused,
    /// The place has no such distribution.
    UnknownDistro,
    /// A download or an upload leads to a host that is not configured.
    ForeignStorage,
    /// A registry sends for tokens to an address, or for a service, that is not configured.
    ForeignRealm,
    /// The place filed the package under another name.
    Renamed,
    /// The deployment lacks a place or a secret.
    NotConfigured,
    /// The public place has other bytes under that name.
    Conflict,
    /// A move by file name has made other bytes public than were approved.
    MovedOtherBytes,
    /// A move was begun, and neither place has the file.
    LostInMove,
    /// Staging no longer has the file.
    Missing,
    /// Staging has other bytes than were approved.
    StagedBytesChanged,
    /// Staging has another file under a declared name.
    StagingConflict,
    /// The public place has the file, and its index does not serve it.
    NotServed,
    /// A server does not compute a digest.
    NoDigest,
    /// The copy takes longer than the edge may run by itself.
    TooSlow,
    /// The copy would take too long, and no job waits to carry it.
    NobodyCarries,
    /// A place has not answered for a while: what is shown of it was so then.
    Unknown,
    /// What was released is no longer there, or is something else now.
    Drift,
    /// A public repository has something that did not come through Slipway, or that differs from what it released.
    Stranger,
    /// A gate was closed when its turn came, or somebody holds it.
    Blocked,
    /// Its approval has lapsed before anything was begun.
    Lapsed,
    /// Somebody has stopped Slipway.
    Stopped,
    /// Left out on purpose.
    Skipped,
    /// The place does not let what is public be taken back.
    NotWithdrawable,
    /// What was deleted is served all the same.
    StillServed,
    /// What was released under that name was taken back.
    Withdrawn,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 31] = [
        Self::Trouble,
        Self::Unreachable,
        Self::AccountCutOff,
        Self::StillCutOff,
        Self::NoAccess,
        Self::Refused,
        Self::UnknownDistro,
        Self::ForeignStorage,
        Self::ForeignRealm,
        Self::Renamed,
        Self::NotConfigured,
        Self::Conflict,
        Self::MovedOtherBytes,
        Self::LostInMove,
        Self::Missing,
        Self::StagedBytesChanged,
        Self::StagingConflict,
        Self::NotServed,
        Self::NoDigest,
        Self::TooSlow,
        Self::NobodyCarries,
        Self::Unknown,
        Self::Drift,
        Self::Stranger,
        Self::Blocked,
        Self::Lapsed,
        Self::Stopped,
        Self::Skipped,
        Self::NotWithdrawable,
        Self::StillServed,
        Self::Withdrawn,
    ];

    /// The code's text in the API and in storage.
    pub fn code(self) -> &'static str {
        match self {
            Self::Trouble => "trouble",
            Self::Unreachable => "unreachable",
            Self::AccountCutOff => "account-cut-off",
            Self::StillCutOff => "still-cut-off",
            Self::NoAccess => "no-access",
            Self::Refused => "refused",
            Self::UnknownDistro => "unknown-distro",
            Self::ForeignStorage => "foreign-storage",
            Self::ForeignRealm => "foreign-realm",
            Self::Renamed => "renamed",
            Self::NotConfigured => "not-configured",
            Self::Conflict => "conflict",
            Self::MovedOtherBytes => "moved-other-bytes",
            Self::LostInMove => "lost-in-move",
            Self::Missing => "missing",
            Self::StagedBytesChanged => "staged-bytes-changed",
            Self::StagingConflict => "staging-conflict",
            Self::NotServed => "not-served",
            Self::NoDigest => "no-digest",
            Self::TooSlow => "too-slow",
            Self::NobodyCarries => "nobody-carries",
            Self::Unknown => "unknown",
            Self::Drift => "drift",
            Self::Stranger => "stranger",
            Self::Blocked => "blocked",
            Self::Lapsed => "lapsed",
            Self::Stopped => "stopped",
            Self::NotWithdrawable => "not-withdrawable",
            Self::StillServed => "still-served",
            Self::Withdrawn => "withdrawn",
            Self::Skipped => "skipped",
        }
    }

    /// Whether trying again is safe, happens by itself, or would change nothing.
    pub fn retry(self) -> Retry {
        match self {
            Self::Trouble | Self::AccountCutOff | Self::TooSlow | Self::Unknown | Self::Stopped => Retry::Automatic,
            Self::Conflict
            | Self::MovedOtherBytes
            | Self::Missing
            | Self::StagedBytesChanged
            | Self::StagingConflict
            | Self::Drift
            | Self::Stranger
            | Self::NotWithdrawable
            | Self::Withdrawn
            | Self::Skipped => Retry::Useless,
            _ => Retry::Safe,
        }
    }

    /// Who acts next, and what to do.
    pub fn next(self) -> &'static str {
        match self {
            Self::Trouble => "Nobody: it is tried again by itself.",
            Self::Unreachable => "Operator: look at the server, then play the release job again.",
            Self::AccountCutOff => {
                "Operator: the package server has cut the account off, which also stops those who install from it. Raise \
                 its plan or pay; it is tried again by itself, a package at a time."
            }
            Self::StillCutOff => "Operator: raise the account's plan or pay, then play the release job again.",
            Self::NoAccess => {
                "Operator: look at the place's token and at what its user may do there, then play the release job again."
            }
            Self::Refused => {
                "Operator: mend what the server says, with whoever builds the package or image, then play the release job again."
            }
            Self::UnknownDistro => {
                "Operator: have the package server add the distribution, then play the release job again; or take it out \
                 of the plan."
            }
            Self::ForeignStorage => {
                "Operator: if that host is right, add it to the place's `storage` in `slipway.toml`, deploy, then play the \
                 release job again."
            }
            Self::ForeignRealm => {
                "Operator: find out who changed where the registry gives its tokens. If that is right, write it into the \
                 place's `realm` and `service` in `slipway.toml`, deploy, then play the release job again."
            }
            Self::Renamed => {
                "Build owner: give the file the name that the package has inside. Remove it from the public repository \
                 under the other name, then stage and release it again."
            }
            Self::NotConfigured => {
                "Operator: mend `slipway.toml` or the secret, deploy, then play the release job again."
            }
            Self::Conflict => {
                "Release manager: find out who published the other file. A released name never gets other bytes, so raise \
                 the package's revision."
            }
            Self::MovedOtherBytes => {
                "Release manager: these bytes are public and nobody approved them. Remove the file from the public \
                 repository at once, warn those who install it, and release the package under another revision."
            }
            Self::LostInMove => {
                "Operator: look for the file at the package server; it was on its way from staging to public. If it is \
                 nowhere, have its build job stage it again, then play the release job again."
            }
            Self::Missing => "Release manager: run its build job again, so that it is staged again.",
            Self::StagedBytesChanged => {
                "Release manager: find out who changed what was staged. Nothing of it became public."
            }
            Self::StagingConflict => {
                "Build owner: find out who pushed the other file. Remove it and run the build job again, or raise the \
                 version."
            }
            Self::NotServed => "Operator: look at the package server's indexing, then play the release job again.",
            Self::NoDigest => {
                "Operator: look at the package servers, staging and public, then play the release job again."
            }
            Self::TooSlow => "Nobody: the release job carries it, as long as it runs.",
            Self::NobodyCarries => {
                "Release manager: play the release job again and let it run; it holds the copy open until it ends."
            }
            Self::Unknown => {
                "Nobody: it is looked at again by itself. If that lasts, the operator looks at the server."
            }
            Self::Drift => "Release manager: find out who changed the public repository; Slipway has not.",
            Self::Stranger => {
                "Operator: find out who published it. Remove it from the public repository, or adopt it; `docs/operators/strangers.md` \
                 says how."
            }
            Self::Blocked => {
                "Release manager: when nothing is in its way any more, play the release job again. Nobody is approved by \
                 waiting."
            }
            Self::Lapsed => "Release manager: play the release job again; its approval was for then.",
            Self::NotWithdrawable => {
                "Operator: take it out at the server itself, by its own page or with its administrator; then ask for the \
                 withdrawal again, which finds it gone."
            }
            Self::StillServed => {
                "Operator: look at the package server's indexing, then ask for the withdrawal again; it looks first."
            }
            Self::Withdrawn => "Release manager: release the package under another version.",
            Self::Stopped => "Operator: when the reason is gone, start Slipway again; then it goes on by itself.",
            Self::Skipped => "Nobody: it is left out on purpose.",
        }
    }

    /// The same about an image, where that is not what is done about a package.
    pub fn next_of_image(self) -> &'static str {
        match self {
            Self::Conflict => {
                "Release manager: find out who set the tag. A released tag never gets another image, so release a new version."
            }
            Self::NotServed => "Operator: look at the registry, then play the release job again.",
            _ => self.next(),
        }
    }

    /// The problem, for a person under stress.
    pub fn problem(self, what: impl Into<String>, public: Visible, evidence: Option<Evidence>) -> Problem {
        Problem {
            code: self.code().to_owned(),
            what: what.into(),
            public: public.word().to_owned(),
            retry: self.retry().word().to_owned(),
            next: self.next().to_owned(),
            evidence,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Whether trying again helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A person may try again: nothing is done twice.
    Safe,
    /// It is tried again without anybody.
    Automatic,
    /// Something else has to change first.
    Useless,
}

impl Retry {
    /// The word in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Automatic => "automatic",
            Self::Useless => "useless",
        }
    }
}

/// What the public can see of a package that is not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// Nothing: the public place was looked at, and does not have it.
    Nothing,
    /// The public place has it, but not as it should.
    Partly,
    /// The public place has it, and serves it.
    Done,
    /// The public place could not be looked at, or its answer may be behind.
    Unknown,
}

impl Visible {
    /// The word in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Partly => "partly",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_stored_as_it_is_shown() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).expect("text"), code.code(), "{code:?}");
        }
    }

    #[test]
    fn every_code_is_told_apart_and_explained_to_people() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(Code::ALL.iter().position(|other| other.code() == code.code()), Some(number), "{code}");
            assert!(line(code).is_some(), "problems.md has no line for `{code}`");
        }
    }

    /// What the page for people says of a code: whether to try again, and who acts.
    fn line(code: Code) -> Option<(&'static str, &'static str)> {
        let page = include_str!("../../../docs/release-managers/problems.md");
        let cells = page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        cells.into_iter().find_map(|cells| match cells.as_slice() {
            ["", name, _, again, who, ""] if *name == format!("`{code}`") => Some((*again, *who)),
            _ => None,
        })
    }

    #[test]
    fn the_page_for_people_says_of_every_code_whether_to_try_again_and_who_acts_as_the_code_does() {
        for code in Code::ALL {
            let (again, who) = line(code).expect("every code has a line");
            let retry = match code.retry() {
                Retry::Safe => "safe",
                Retry::Automatic => "by itself",
                Retry::Useless => "useless",
            };
            assert!(again.starts_with(retry), "{code}: {again}");
            for next in [code.next(), code.next_of_image()] {
                let (acts, _) = next.split_once(':').expect("who acts stands first");
                let acts = if acts == "Build owner" { "whoever builds it".to_owned() } else { acts.to_lowercase() };
                assert!(who.starts_with(&acts), "{code}: {who}, and the code says {acts}");
            }
        }
    }
}
