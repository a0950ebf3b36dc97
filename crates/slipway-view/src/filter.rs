//! Which targets are shown and how, kept in the page's address, so that a link shows another person the same view and the
//! form works without scripts.

use slipway_core::api::{Package, Release, Target};
use slipway_core::release::TargetState;

use crate::matrix::{Place, View, place};
use crate::text::{decoded, position, segment, visible};

/// The longest value that is read. Each word is looked for in each of thousands of targets, and an address can have sixteen thousand
/// letters: a link would keep the edge, or the browser of whoever follows it, busy for seconds.
const VALUE_BYTES_MAX: usize = 500;

/// What is shown of a release's targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// How they are laid out, where the reader has said so.
    pub view: Option<View>,
    /// Only these states; all when empty. In the order of [`TargetState::ALL`], each once.
    pub states: Vec<TargetState>,
    /// Only these lines, such as `ee`; all when empty.
    pub lines: Vec<String>,
    /// Only these architectures; all when empty.
    pub archs: Vec<String>,
    /// Words that all must occur in the key, the distro or tag, the file's or image's name, or the state.
    pub words: String,
    /// The target that is opened beside the others, as `KEY/TARGET`. It hides nothing.
    pub selected: Option<String>,
}

impl Filter {
    /// Reads `state=failed,missing&q=jammy`. What is not understood is left out: an old link still shows the page.
    pub fn from_query(query: &str) -> Self {
        let mut filter = Self::default();
        for (name, value) in query.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('=')) {
            let value = decoded(value);
            if value.len() > VALUE_BYTES_MAX {
                continue;
            }
            match name {
                "v" => filter.view = [View::Matrix, View::List].into_iter().find(|view| view.code() == value),
                "state" => {
                    let named: Vec<&str> = value.split(',').collect();
                    filter.states =
                        TargetState::ALL.into_iter().filter(|state| named.contains(&state.code())).collect();
                }
                "line" => filter.lines = listed(&value),
                "arch" => filter.archs = listed(&value),
                "q" => value.trim_ascii().clone_into(&mut filter.words),
                "sel" => filter.selected = Some(value).filter(|value| !value.is_empty()),
                _ => {}
            }
        }
        filter
    }

    /// The query of this filter, with its `?`; empty when everything is shown. The same view has the same text.
    pub fn query(&self) -> String {
        let states: Vec<&str> = self.states.iter().map(|state| state.code()).collect();
        let list = |list: &[String]| list.iter().map(|one| segment(one)).collect::<Vec<_>>().join(",");
        let mut query = String::new();
        for (name, value) in [
            ("v", self.view.map_or("", View::code).to_owned()),
            ("state", states.join(",")),
            ("line", list(&self.lines)),
            ("arch", list(&self.archs)),
            ("q", segment(&self.words)),
            ("sel", segment(self.selected.as_deref().unwrap_or_default())),
        ] {
            if !value.is_empty() {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(name);
                query.push('=');
                query.push_str(&value);
            }
        }
        query
    }

    /// What a link with this name in `data-filter` leads to: the name of a state, `line:ee` or `arch:arm64` is put in, or
    /// taken out when it is in. The empty name leads to everything.
    #[must_use]
    pub fn pressed(&self, name: &str) -> Self {
        let mut filter = self.clone();
        if let Some(line) = name.strip_prefix("line:") {
            toggle(&mut filter.lines, line);
        } else if let Some(arch) = name.strip_prefix("arch:") {
            toggle(&mut filter.archs, arch);
        } else if name.is_empty() {
            filter = Self { view: self.view, selected: self.selected.clone(), ..Self::default() };
        } else {
            filter.states.clear();
            let is_on = |state: &TargetState| self.states.contains(state) != (state.code() == name);
            filter.states.extend(TargetState::ALL.into_iter().filter(is_on));
        }
        filter
    }

    /// Whether a link with this name in `data-filter` is pressed.
    pub fn has(&self, name: &str) -> bool {
        match name.split_once(':') {
            Some(("line", line)) => self.lines.iter().any(|one| one == line),
            Some((_, arch)) => self.archs.iter().any(|one| one == arch),
            None => self.states.iter().any(|state| state.code() == name),
        }
    }

    /// Whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.lines.is_empty() && self.archs.is_empty() && self.words.is_empty()
    }

    /// Whether a target with this state and this [`haystack`] is shown.
    pub fn shows(&self, state: TargetState, haystack: &str) -> bool {
        if self.is_empty() {
            return true;
        }
        let among = |list: &[String], name: &str| {
            let is_it =
                |word: &str, one: &str| word.strip_prefix(name).is_some_and(|word| word.eq_ignore_ascii_case(one));
            list.is_empty() || list.iter().any(|one| haystack.split(' ').any(|word| is_it(word, one)))
        };
        (self.states.is_empty() || self.states.contains(&state))
            && among(&self.lines, "line:")
            && among(&self.archs, "arch:")
            && self.words.to_ascii_lowercase().split_ascii_whitespace().all(|word| position(haystack, word).is_some())
    }
}

/// A list in a query, in an order of its own, each once.
fn listed(value: &str) -> Vec<String> {
    let mut list = Vec::new();
    for one in value.split(',').filter(|one| !one.is_empty()) {
        if !list.iter().any(|other| other == one) {
            toggle(&mut list, one);
        }
    }
    list
}

fn toggle(list: &mut Vec<String>, one: &str) {
    match list.binary_search_by(|other| other.as_str().cmp(one)) {
        Ok(at) => drop(list.remove(at)),
        Err(at) => list.insert(at, one.to_owned()),
    }
}

/// The text that a filter's words are looked for in. Each target's element carries it (`data-find`), so that the browser
/// needs no copy of the release.
pub fn haystack(release: &Release, package: &Package, target: &Target) -> String {
    let file = package.file.as_ref().map_or("", |file| file.name());
    let Place { line, arch, .. } = place(release, package, target);
    let mut text =
        visible(&format!("{} {} {} {file} line:{line} arch:{arch}", package.key, target.name(), target.state));
    text.make_ascii_lowercase();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_read_and_written_is_the_same_view() {
        let filter = Filter::from_query("?q=el%2F9+arm64&state=missing,failed,nonsense,failed&x=1");
        assert_eq!(filter.states, [TargetState::Failed, TargetState::Missing]);
        assert_eq!(filter.words, "el/9 arm64");
        assert_eq!(filter.query(), "?state=failed,missing&q=el%2F9%20arm64");
        assert_eq!(Filter::from_query(&filter.query()), filter);
        assert_eq!(Filter::from_query("").query(), "");
        let whole = "?v=list&state=failed&line=ce,ee-fips&arch=arm64&q=tug&sel=tug-el-9%2Fel%2F9";
        let shuffled = "sel=tug-el-9/el/9&q=tug&arch=arm64,arm64&line=ee-fips,ce&state=failed&v=list";
        assert_eq!(Filter::from_query(shuffled).query(), whole);
        assert_eq!(Filter::from_query("v=cube&line=&arch=,&sel=").query(), "");
    }

    #[test]
    fn what_is_longer_than_anybody_writes_is_left_out() {
        let long = "amd64+".repeat(2_000);
        for name in ["q", "line", "arch", "sel", "state"] {
            assert_eq!(Filter::from_query(&format!("{name}={long}")), Filter::default(), "{name}");
        }
        assert_eq!(Filter::from_query(&format!("state=failed&q={long}")).query(), "?state=failed");
        let most = "a".repeat(500);
        assert_eq!(Filter::from_query(&format!("q={most}")).words, most);
    }

    #[test]
    fn a_filter_pressed_twice_is_off_again() {
        let filter =
            Filter::from_query("v=list").pressed("failed").pressed("staged").pressed("arch:arm64").pressed("line:ee");
        assert_eq!(filter.query(), "?v=list&state=staged,failed&line=ee&arch=arm64");
        for name in ["failed", "staged", "arch:arm64", "line:ee"] {
            assert!(filter.has(name) && !filter.pressed(name).has(name), "{name}");
        }
        assert_eq!(filter.pressed("failed").query(), "?v=list&state=staged&line=ee&arch=arm64");
        assert_eq!(filter.pressed("").query(), "?v=list", "the layout stays");
    }

    #[test]
    fn every_word_must_occur() {
        let filter = Filter::from_query("q=Jammy tug");
        assert!(filter.shows(TargetState::Staged, "tug ubuntu/jammy staged tug_1.2.0_amd64.deb line:tug arch:amd64"));
        assert!(!filter.shows(TargetState::Staged, "pilot ubuntu/jammy staged"));
        assert!(!Filter::from_query("state=failed").shows(TargetState::Staged, "tug"));
    }

    #[test]
    fn a_line_is_not_another_that_begins_like_it() {
        let shows = |query: &str| {
            Filter::from_query(query).shows(TargetState::Staged, "ee-fips-el9 el/9 staged line:ee-fips arch:amd64")
        };
        for (query, is_shown) in [
            ("line=ee-fips", true),
            ("line=ee", false),
            ("line=ce,ee-fips", true),
            ("arch=amd64", true),
            ("arch=amd64&line=ce", false),
            ("arch=arm64,armhf", false),
        ] {
            assert_eq!(shows(query), is_shown, "{query}");
        }
    }
}
