//! Which rows are shown, kept in the page's address, so that a link shows another person the same view and the form
//! works without scripts.

use slipway_core::api::{Package, Target};
use slipway_core::release::TargetState;

use crate::text::{decoded, place, segment, visible};

/// What is shown of a release's targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these states; all when empty. In the order of [`TargetState::ALL`], each once.
    pub states: Vec<TargetState>,
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
            match name {
                "state" => {
                    let value = decoded(value);
                    let named: Vec<&str> = value.split(',').collect();
                    filter.states =
                        TargetState::ALL.into_iter().filter(|state| named.contains(&state.code())).collect();
                }
                "q" => decoded(value).trim().clone_into(&mut filter.words),
                "sel" => filter.selected = Some(decoded(value)).filter(|value| !value.is_empty()),
                _ => {}
            }
        }
        filter
    }

    /// The query of this filter, with its `?`; empty when everything is shown. The same view has the same text.
    pub fn query(&self) -> String {
        let states: Vec<&str> = self.states.iter().map(|state| state.code()).collect();
        let mut query = String::new();
        for (name, value) in [
            ("state", states.join(",")),
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

    /// This filter with one state put in, or taken out when it is in.
    #[must_use]
    pub fn toggled(&self, state: TargetState) -> Self {
        let is_on = |one: TargetState| self.states.contains(&one) != (one == state);
        Self { states: TargetState::ALL.into_iter().filter(|one| is_on(*one)).collect(), ..self.clone() }
    }

    /// Whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.words.is_empty()
    }

    /// Whether a row with this state and this [`haystack`] is shown.
    pub fn shows(&self, state: TargetState, haystack: &str) -> bool {
        (self.states.is_empty() || self.states.contains(&state))
            && self.words.to_ascii_lowercase().split_whitespace().all(|word| place(haystack, word).is_some())
    }
}

/// The text that a filter's words are looked for in. The row carries it (`data-find`), so that the browser needs no copy
/// of the release.
pub fn haystack(package: &Package, target: &Target) -> String {
    let file = package.file.as_ref().map_or("", |file| file.name());
    visible(&format!("{} {} {} {file}", package.key, target.name(), target.state)).to_ascii_lowercase()
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
    }

    #[test]
    fn a_state_pressed_twice_is_off_again() {
        let filter = Filter::default().toggled(TargetState::Failed).toggled(TargetState::Staged);
        assert_eq!(filter.query(), "?state=staged,failed");
        assert_eq!(filter.toggled(TargetState::Failed).query(), "?state=staged");
    }

    #[test]
    fn every_word_must_occur() {
        let filter = Filter::from_query("q=Jammy tug");
        assert!(filter.shows(TargetState::Staged, "tug ubuntu/jammy staged tug_1.2.0_amd64.deb"));
        assert!(!filter.shows(TargetState::Staged, "pilot ubuntu/jammy staged"));
        assert!(!Filter::from_query("state=failed").shows(TargetState::Staged, "tug"));
    }
}
