//! The role of a person in a project (<https://docs.gitlab.com/user/permissions/>).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a person may do in a project, by GitLab's own ladder. A custom role counts as the one that it is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLevel {
    /// Sees what is public.
    Guest,
    /// Plans, without code.
    Planner,
    /// Reads code and pipelines.
    Reporter,
    /// Pushes, and runs pipelines.
    Developer,
    /// Decides on protected branches, tags and settings.
    Maintainer,
    /// Owns the project.
    Owner,
}

/// Every role, the least first, with GitLab's number for it.
const LEVELS: [(u64, AccessLevel); 6] = [
    (10, AccessLevel::Guest),
    (15, AccessLevel::Planner),
    (20, AccessLevel::Reporter),
    (30, AccessLevel::Developer),
    (40, AccessLevel::Maintainer),
    (50, AccessLevel::Owner),
];

impl AccessLevel {
    /// The highest role that a number reaches. `None` for less than a guest: "no access" is 0, "minimal access" is 5.
    pub fn of_number(number: u64) -> Option<Self> {
        LEVELS.iter().rev().find(|(least, _)| number >= *least).map(|(_, level)| *level)
    }

    /// The role that an ID token names. `None` for words that this version does not know.
    pub fn of_word(word: &str) -> Option<Self> {
        LEVELS.iter().map(|(_, level)| *level).find(|level| level.as_str() == word)
    }

    /// GitLab's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Planner => "planner",
            Self::Reporter => "reporter",
            Self::Developer => "developer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for AccessLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_between_two_roles_is_the_lower_one() {
        for (number, word) in [
            (0, None),
            (5, None),
            (9, None),
            (10, Some("guest")),
            (15, Some("planner")),
            (20, Some("reporter")),
            (29, Some("reporter")),
            (30, Some("developer")),
            (40, Some("maintainer")),
            (50, Some("owner")),
            (60, Some("owner")),
        ] {
            assert_eq!(AccessLevel::of_number(number).map(AccessLevel::as_str), word, "{number}");
        }
    }

    #[test]
    fn only_gitlabs_own_words_are_roles() {
        assert_eq!(AccessLevel::of_word("maintainer"), Some(AccessLevel::Maintainer));
        for word in ["", "Maintainer", "maintainer ", "admin", "security_manager", "40"] {
            assert_eq!(AccessLevel::of_word(word), None, "{word}");
        }
    }
}
