//! Which searches find many files in few requests.
//!
//! A search matches any part of a file name. The files of one release have their version in common, most often their name
//! too, so one search finds all of them. What names end with, `_amd64.deb`, is no help: whole repositories have it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Distro, Filename};

/// How long a common part must be to be searched for.
const COMMON_CHARS_MIN: usize = 3;

/// One search, and the files that it is to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// What is searched for: a whole file name, or what all of the names have in common.
    pub(crate) q: String,
    /// The files, each in its distro version.
    pub(crate) wanted: BTreeSet<(Distro, Filename)>,
}

impl Question {
    /// The search for one file name by all of it.
    fn single(filename: &Filename, wanted: &BTreeSet<(Distro, Filename)>) -> Self {
        Self::of(filename.as_str().to_owned(), &[filename].into(), wanted)
    }

    fn of(q: String, names: &BTreeSet<&Filename>, wanted: &BTreeSet<(Distro, Filename)>) -> Self {
        Self { q, wanted: wanted.iter().filter(|(_, name)| names.contains(name)).cloned().collect() }
    }

    /// The distro version that all of the files are for, if it is one.
    pub(crate) fn dist(&self) -> Option<&Distro> {
        let (first, _) = self.wanted.first()?;
        self.wanted.iter().all(|(distro, _)| distro == first).then_some(first)
    }

    /// Whether it is for one file name, so that nothing can narrow it.
    pub(crate) fn is_single(&self) -> bool {
        self.names().len() < 2
    }

    /// The same as a search for each file name.
    pub(crate) fn singles(&self) -> Vec<Self> {
        self.names().into_iter().map(|name| Self::single(name, &self.wanted)).collect()
    }

    fn names(&self) -> BTreeSet<&Filename> {
        self.wanted.iter().map(|(_, name)| name).collect()
    }
}

/// The searches for these files: one if their names have a part in common, else as few as a quick look finds.
pub(crate) fn questions(wanted: &BTreeSet<(Distro, Filename)>) -> Vec<Question> {
    let mut rest: BTreeSet<&Filename> = wanted.iter().map(|(_, name)| name).collect();
    let mut questions = Vec::new();
    while let Some(first) = rest.first().copied() {
        // All of them if that is possible, else those that share the most common part, and so on with what is left.
        let group = if common(&rest).is_some() { rest.clone() } else { most_alike(&rest) };
        let question = match common(&group).filter(|_| group.len() > 1) {
            Some(q) => Question::of(q, &group, wanted),
            None => Question::single(first, wanted),
        };
        rest.retain(|name| !question.names().contains(name));
        questions.push(question);
    }
    questions
}

/// A file's name without what many others end with: the architecture and the kind.
fn stem(filename: &Filename) -> &str {
    let text = filename.as_str();
    let front = text.rsplit_once('.').map_or(text, |(front, _)| front);
    match filename.architecture() {
        Some(architecture) => front.strip_suffix(architecture).unwrap_or(front),
        None => front,
    }
}

/// Every part of `text` with so many characters.
fn parts(text: &str, chars: usize) -> BTreeSet<&str> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let ends = starts.iter().skip(chars);
    starts.iter().zip(ends).filter_map(|(start, end)| text.get(*start..*end)).collect()
}

/// The longest part that all of the names' stems have, if it is long enough to be searched for.
fn common(names: &BTreeSet<&Filename>) -> Option<String> {
    let mut stems: Vec<&str> = names.iter().map(|name| stem(name)).collect();
    stems.sort_by_key(|stem| stem.len());
    let (shortest, others) = stems.split_first()?;
    let shared = |chars: usize| {
        let mut shared = parts(shortest, chars);
        for stem in others {
            let theirs = parts(stem, chars);
            shared.retain(|part| theirs.contains(part));
        }
        shared.first().map(|part| (*part).to_owned())
    };
    // If they share a part they share its parts, so the length is found by halving.
    let (mut least, mut most) = (COMMON_CHARS_MIN, shortest.chars().count());
    let mut best = None;
    while least <= most {
        let middle = least.midpoint(most);
        match shared(middle) {
            Some(part) => {
                best = Some(part);
                least = middle.saturating_add(1);
            }
            None => most = middle.saturating_sub(1),
        }
    }
    best
}

/// The names that have the most frequent of all short parts.
fn most_alike<'a>(names: &BTreeSet<&'a Filename>) -> BTreeSet<&'a Filename> {
    let mut groups: BTreeMap<&str, BTreeSet<&Filename>> = BTreeMap::new();
    for name in names {
        for part in parts(stem(name), COMMON_CHARS_MIN) {
            groups.entry(part).or_default().insert(name);
        }
    }
    groups.into_values().max_by_key(BTreeSet::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::filename;

    /// The searches for these files, `distro/version name` a line: what is searched for, in which distro version, and how
    /// many files it is to find.
    fn check(files: &str, expected: &[(&str, Option<&str>, usize)]) {
        let wanted = files.lines().map(|line| {
            let (distro, name) = line.trim().split_once(' ').expect("a distro and a name");
            (distro.parse().expect("a distro"), filename(name))
        });
        let asked = questions(&wanted.collect());
        let told: Vec<_> = asked
            .iter()
            .map(|question| (question.q.as_str(), question.dist().map(ToString::to_string), question.wanted.len()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(q, dist, n)| (*q, dist.map(str::to_owned), *n)).collect();
        assert_eq!(told, expected, "{files}");
    }

    #[test]
    fn one_file_is_searched_for_by_its_whole_name() {
        check("ubuntu/jammy tug_1_amd64.deb", &[("tug_1_amd64.deb", Some("ubuntu/jammy"), 1)]);
        check("el/9 tug-1-1.x86_64.rpm\nol/9 tug-1-1.x86_64.rpm", &[("tug-1-1.x86_64.rpm", None, 2)]);
        check("ubuntu/jammy a.deb", &[("a.deb", Some("ubuntu/jammy"), 1)]);
    }

    #[test]
    fn the_files_of_a_release_are_found_by_one_search() {
        check(
            "ubuntu/jammy tug-ce_18.1.0-ce.0_amd64.deb\nubuntu/jammy tug-ce_18.1.0-ce.0_arm64.deb",
            &[("tug-ce_18.1.0-ce.0_", Some("ubuntu/jammy"), 2)],
        );
        check(
            "ubuntu/jammy tug-ce_18.1.0-ce.0_amd64.deb\nubuntu/noble tug-ce_18.1.0-ce.0_arm64.deb",
            &[("tug-ce_18.1.0-ce.0_", None, 2)],
        );
        check(
            "ubuntu/jammy tug_18.1.0_amd64.deb\nubuntu/jammy pilot-helper_18.1.0_amd64.deb\nel/9 tug-18.1.0-1.x86_64.rpm",
            &[("18.1.0", None, 3)],
        );
    }

    #[test]
    fn what_all_packages_end_with_is_not_searched_for() {
        check(
            "ubuntu/jammy aa_1_amd64.deb\nubuntu/jammy bb_2_amd64.deb",
            &[("aa_1_amd64.deb", Some("ubuntu/jammy"), 1), ("bb_2_amd64.deb", Some("ubuntu/jammy"), 1)],
        );
    }

    #[test]
    fn files_with_nothing_in_common_fall_into_few_groups() {
        check(
            "ubuntu/jammy tug_1_amd64.deb\nubuntu/jammy tug_2_arm64.deb\nubuntu/noble tug-doc_3_all.deb
             el/9 pilot-4-5.x86_64.rpm\nel/8 pilot-6-7.x86_64.rpm\nubuntu/jammy x_8_all.deb",
            &[("tug", None, 3), ("pilot-", None, 2), ("x_8_all.deb", Some("ubuntu/jammy"), 1)],
        );
    }

    #[test]
    fn every_file_is_in_exactly_one_search_that_matches_it() {
        // Names of two letters, in all their combinations: hard to group.
        let letters = ["a", "b", "é", "1", "-", "~", "+"];
        let mut wanted = BTreeSet::new();
        for a in letters {
            for b in letters {
                for c in letters {
                    let name = filename(&format!("{a}{b}{c}{b}_1_amd64.deb"));
                    wanted.insert(("ubuntu/jammy".parse().expect("a distro"), name));
                }
            }
        }
        let questions = questions(&wanted);
        for question in &questions {
            assert!(question.q.chars().count() >= 3, "{question:?}");
            for (_, name) in &question.wanted {
                assert!(name.as_str().contains(&question.q), "{name} in {question:?}");
            }
        }
        let all: Vec<_> = questions.iter().flat_map(|question| question.wanted.iter().cloned()).collect();
        assert_eq!(all.len(), wanted.len());
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), wanted);
        assert_eq!(super::questions(&BTreeSet::new()), []);
    }
}
