//! The page of one release.

use maud::{Markup, html};
use slipway_core::api::Release;

use super::{Reader, Shell, project_path};
use crate::filter::{Filter, haystack};
use crate::section;
use crate::text::{Moment, segment, visible};

/// A release: its verdict, what needs a person, its packages. `filter` comes from the address's query.
pub fn release(release: &Release, filter: &Filter, reader: &Reader<'_>) -> Markup {
    let read = Moment::parse(&release.at).map_or_else(|| visible(&release.at), |moment| moment.clock());
    let project = visible(&release.project.name);
    let trail = [
        ("Projects", "/".to_owned()),
        (&project, project_path(&release.project)),
        (release.version.as_str(), String::new()),
    ];
    let shell =
        Shell { title: &section::title(release), trail: &trail, is_alarming: section::is_alarming(release), reader };
    shell.page(
        &html! {
            p.freshness {
                span #freshness data-at=(release.at) { "As of " (read) }
                noscript { span.quiet { " · updates every minute" } }
                button #pause type="button" hidden aria-pressed="false" { "Pause updates" }
            }
        },
        &html! {
            main #main data-project=(release.project.name) data-version=(release.version)
                data-sequence=(release.sequence) {
                (section::verdict(release))
                p.unseen #announce role="status" {}
                (section::needs(release))
                section aria-labelledby="packages-title" {
                    h2 #packages-title tabindex="-1" { "Packages" }
                    (filter_form(release, filter))
                    (section::packages(release, filter))
                }
            }
        },
        &html! {
            (section::sources(release))
            p {
                a href="/help/states" { "What the words mean" } " · "
                a href={ "/api/v1/projects/" (segment(&release.project.name)) "/releases/" (segment(release.version.as_str())) } { "As JSON" }
                label #keys hidden { " · " input type="checkbox" checked; " The key " kbd { "/" } " jumps to the filter" }
            }
        },
    )
}

fn filter_form(release: &Release, filter: &Filter) -> Markup {
    let states: Vec<&str> = filter.states.iter().map(|state| state.code()).collect();
    let all = section::targets(release).count();
    let shown = section::targets(release)
        .filter(|(package, target)| filter.shows(target.state, &haystack(package, target)))
        .count();
    html! {
        div.filters hidden[all == 0] {
            (section::tally(release, filter))
            form #filter method="get" action=(section::path(release)) role="search" {
                input type="hidden" name="state" value=(states.join(",")) disabled[states.is_empty()];
                label for="filter-words" { "Filter" }
                input #filter-words type="search" name="q" value=(filter.words) placeholder="key, distro, tag or file"
                    autocomplete="off" spellcheck="false" enterkeyhint="search";
            }
        }
        p #shown.quiet { (shown_words(shown, all)) }
    }
}

/// What the filter does, in words. Empty when it hides nothing.
pub fn shown_words(shown: usize, all: usize) -> String {
    match shown {
        0 if all > 0 => format!("No target matches the filter; {all} are hidden."),
        _ if shown == all => String::new(),
        _ => format!("{shown} of {all} targets match the filter."),
    }
}
