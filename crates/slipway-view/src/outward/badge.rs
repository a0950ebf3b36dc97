//! Badges: what is public, as a picture of one line for somebody else's page.
//!
//! They tell what is public to everybody, members too: a picture is kept and shown by others. Where nothing is, the
//! picture says so in the same words whatever was asked for.

use maud::{Markup, html};
use slipway_core::api::{PublicRelease, PublicState, PublicSummary};
use slipway_core::release::Key;
use slipway_core::sight;

use super::{BADGE_SECONDS, Outward};
use crate::state::Tone;
use crate::text::visible;

/// The most that is shown of a text.
const CHARACTERS_MAX: usize = 60;

/// The badge of a project: its newest release that is out.
pub(super) fn newest(project: &str, releases: &[PublicSummary]) -> Outward {
    match releases.iter().find(|release| release.packages > 0) {
        Some(release) => picture(&badge(project, release.version.as_str(), Tone::Done)),
        None => picture(&nothing()),
    }
}

/// The badge of a release, or of a target of it.
pub(super) fn of(release: Option<&PublicRelease>, target: Option<&(Key, String)>) -> Outward {
    let found = || {
        let release = release?;
        let name = format!("{} {}", release.project.name, release.version);
        let Some((key, target)) = target else {
            let all = release.packages.iter().flat_map(|package| &package.targets);
            return Some((name, all.map(|target| target.state).collect::<Vec<_>>()));
        };
        let package = sight::target(release, key, target)?;
        let states = package.targets.iter().map(|target| target.state).collect();
        Some((format!("{name} {}", target.trim_start_matches(':')), states))
    };
    let shown = found().map_or_else(nothing, |(label, states)| {
        if states.contains(&PublicState::Released) {
            badge(&label, "released", Tone::Done)
        } else {
            badge(&label, "withdrawn", Tone::Broken)
        }
    });
    picture(&shown)
}

fn nothing() -> Markup {
    badge("release", "not released", Tone::Quiet)
}

fn picture(markup: &Markup) -> Outward {
    Outward { kind: "image/svg+xml", lives_s: BADGE_SECONDS, body: markup.0.clone() }
}

/// A picture of 20 pixels' height: what it is about, and how that is.
pub fn badge(label: &str, words: &str, tone: Tone) -> Markup {
    let cut = |text: &str| visible(text).chars().take(CHARACTERS_MAX).collect::<String>();
    let (label, words) = (cut(label), cut(words));
    let (left, right) = (width(&label), width(&words));
    let (left_box, all) = (left + 10, left + right + 20);
    // Dark enough that white letters on it can be read.
    let ground = match tone {
        Tone::Done => "#1b6e3c",
        Tone::Waiting => "#1d5fa8",
        Tone::Clock => "#8a5300",
        Tone::Broken => "#b3261e",
        Tone::Quiet => "#5b6470",
    };
    let spoken = format!("{label}: {words}");
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(all) height="20" viewBox={ "0 0 " (all) " 20" } role="img" aria-label=(spoken) {
            title { (spoken) }
            rect width=(all) height="20" rx="3" fill="#3b434d" {}
            rect x=(left_box) width=(right + 10) height="20" rx="3" fill=(ground) {}
            rect x=(left_box) width="4" height="20" fill=(ground) {}
            g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                text x="5" y="14" textLength=(left) { (label) }
                text x=(left_box + 5) y="14" textLength=(right) { (words) }
            }
        }
    }
}

/// How wide a text is in pixels, near enough: whoever draws it is told this width, and fits the letters in.
fn width(text: &str) -> u32 {
    let tenths: u32 = text
        .chars()
        .map(|letter| match letter {
            'i' | 'j' | 'l' | 'f' | 't' | 'r' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' | '(' | ')' => 42,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 100,
            'A'..='Z' | '+' | '=' | '~' | '#' => 80,
            letter if letter.is_ascii() => 68,
            _ => 115,
        })
        .sum();
    tenths.div_ceil(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_both_texts_to_those_who_do_not_see_it() {
        let shown = badge("tug", "1.2.0", Tone::Done).into_string();
        assert!(shown.contains("role=\"img\" aria-label=\"tug: 1.2.0\"><title>tug: 1.2.0</title>"), "{shown}");
        assert!(shown.contains(" height=\"20\""), "{shown}");
    }

    #[test]
    fn no_text_of_a_badge_becomes_markup_or_is_too_long() {
        let hostile = format!("</text><script>alert(1)</script>\u{202e}{}", "x".repeat(10_000));
        let shown = badge(&hostile, &hostile, Tone::Quiet).into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}') && shown.len() < 2_000, "{shown}");
    }

    #[test]
    fn white_letters_on_every_ground_have_a_contrast_of_at_least_four_and_a_half() {
        // WCAG 2.2, relative luminance.
        let luminance = |colour: &str| {
            let part = |range: std::ops::Range<usize>| {
                let value = f64::from(u8::from_str_radix(&colour[range], 16).expect("two digits")) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(1..3) + 0.7152 * part(3..5) + 0.0722 * part(5..7)
        };
        for tone in [Tone::Done, Tone::Waiting, Tone::Clock, Tone::Broken, Tone::Quiet] {
            let shown = badge("a", "b", tone).into_string();
            let grounds: Vec<&str> = shown.split("fill=\"").skip(1).filter_map(|rest| rest.get(..7)).collect();
            for ground in grounds.into_iter().filter(|ground| !ground.contains('"')) {
                let contrast = 1.05 / (luminance(ground) + 0.05);
                assert!(contrast >= 4.5, "{ground} {contrast}");
            }
        }
    }
}
