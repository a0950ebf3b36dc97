//! How a state looks: a word, a glyph with a shape of its own, and a colour. None of the three is needed to tell two
//! states apart.

use maud::{Markup, html};
use slipway_core::release::{ReleaseState, TargetState};

/// What a state's colour says. Red means broken and somebody's to repair, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Green: done.
    Done,
    /// Blue: waiting or moving.
    Waiting,
    /// Amber: a clock or a rule.
    Clock,
    /// Red: broken.
    Broken,
    /// Grey: nothing to do.
    Quiet,
}

impl Tone {
    /// The class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Waiting => "waiting",
            Self::Clock => "clock",
            Self::Broken => "broken",
            Self::Quiet => "quiet",
        }
    }
}

/// The colour of a target's state.
pub fn tone(state: TargetState) -> Tone {
    match state {
        TargetState::Released => Tone::Done,
        TargetState::Staged | TargetState::Approved | TargetState::Releasing => Tone::Waiting,
        TargetState::Expired => Tone::Clock,
        TargetState::Conflict | TargetState::Failed | TargetState::Missing | TargetState::Withdrawn => Tone::Broken,
        TargetState::Expected | TargetState::Skipped => Tone::Quiet,
    }
}

/// What a target's state means, for `/help/states`.
pub fn meaning(state: TargetState) -> &'static str {
    match state {
        TargetState::Expected => {
            "The release's list has it, and nothing has been staged for it yet. The page says so when it is overdue."
        }
        TargetState::Staged => {
            "The file or image is in the private place, with the digest that its build declared. Its manual job in GitLab \
             releases it."
        }
        TargetState::Approved => "Somebody has released it. It waits for a free transfer slot at the public place.",
        TargetState::Releasing => {
            "It is on its way: Slipway looks, copies the bytes, and waits until the public index, or an image's tag, serves \
             them."
        }
        TargetState::Released => {
            "The public index, or an image's tag, serves exactly the staged bytes. This is also said when somebody else has \
             published equal bytes."
        }
        TargetState::Conflict => {
            "The public place has other bytes under that name, or another image under that tag. Slipway never replaces them; \
             a person must decide."
        }
        TargetState::Failed => {
            "A person is needed. The page says what happened, what the public sees of it, whether trying again is \
             safe, and who acts next."
        }
        TargetState::Missing => "It was staged and is gone, or is no longer what was declared.",
        TargetState::Skipped => "It is left out on purpose, with a reason.",
        TargetState::Expired => "It was cleaned up in the private place before anybody released it.",
        TargetState::Withdrawn => "It was public and has been taken back.",
    }
}

/// A release's state as people read it.
pub fn release_words(state: ReleaseState) -> &'static str {
    match state {
        ReleaseState::Expected => "Not staged yet",
        ReleaseState::Staged => "Staged",
        ReleaseState::Complete => "Complete",
        ReleaseState::Closed => "Closed",
    }
}

/// What a release's state means.
pub fn release_meaning(state: ReleaseState) -> &'static str {
    match state {
        ReleaseState::Expected => "Packages are still awaited.",
        ReleaseState::Staged => "Every package is staged, or further, or not shipped on purpose.",
        ReleaseState::Complete => "Every target that is to be shipped is released.",
        ReleaseState::Closed => "Somebody gave the release up. What was left is not shipped.",
    }
}

/// A state as a label: glyph and word.
pub fn chip(state: TargetState) -> Markup {
    html! {
        span.chip.(tone(state).class()).(state.code()) { (glyph(state)) (state.words()) }
    }
}

/// What lies over a state, by its code: `blocked`, `unknown`, `drift`.
const OVERLAYS: [(&str, &str, &str); 3] = [
    // A barred box: staged, and kept in.
    ("blocked", "Blocked", "M3 3h10v10H3zM3 8h10"),
    // A question.
    ("unknown", "Unknown", "M5 5.5a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1-1.5 2.2M8 13.4v.1"),
    // A difference.
    ("drift", "Drift", "M8 2.5 14 13H2z"),
];

/// What lies over a state: its glyph and its word say what the state alone does not.
pub fn overlay(code: &str) -> Markup {
    let words = OVERLAYS.iter().find(|(other, ..)| *other == code).map(|(_, words, _)| words);
    html! { @if let Some(words) = words { span.over { (sign(code)) (words) } } }
}

/// A release's state as a label. The glyphs are those of the targets' states that it is made of.
pub fn release_chip(state: ReleaseState) -> Markup {
    let like = match state {
        ReleaseState::Expected => TargetState::Expected,
        ReleaseState::Staged => TargetState::Staged,
        ReleaseState::Complete => TargetState::Released,
        ReleaseState::Closed => TargetState::Skipped,
    };
    html! {
        span.chip.(tone(like).class()) { (glyph(like)) (release_words(state)) }
    }
}

/// A state's glyph. The word beside it says the same, so it is hidden from assistive technology. Drawn instead of typed,
/// since the fonts of two machines rarely agree about geometric characters.
pub fn glyph(state: TargetState) -> Markup {
    sign(state.code())
}

fn sign(code: &str) -> Markup {
    html! {
        svg.glyph aria-hidden="true" viewBox="0 0 16 16" { use href={ "#g-" (code) } {} }
    }
}

/// The drawings that [`glyph`] refers to. Once a page.
pub fn glyphs() -> Markup {
    html! {
        svg.glyphs aria-hidden="true" width="0" height="0" {
            @let states = TargetState::ALL.into_iter().map(|state| (state.code(), drawing(state)));
            @for (code, drawing) in states.chain(OVERLAYS.map(|(code, _, drawing)| (code, drawing))) {
                symbol id={ "g-" (code) } viewBox="0 0 16 16" { path d=(drawing); }
            }
        }
    }
}

/// Lines in a box of 16 by 16, stroked by the style sheet.
fn drawing(state: TargetState) -> &'static str {
    match state {
        // Three dots: to be filled in.
        TargetState::Expected => "M2.5 8h.5M7.75 8h.5M13 8h.5",
        // A box.
        TargetState::Staged => "M3 3h10v10H3z",
        // An hourglass.
        TargetState::Approved => "M4 2.5h8L4 13.5h8z",
        // An arrow going up and out.
        TargetState::Releasing => "M8 14V3M3.5 7.5 8 3l4.5 4.5",
        // A tick.
        TargetState::Released => "M2.5 8.5l4 4 7-9",
        // Not equal.
        TargetState::Conflict => "M3 6h10M3 10.5h10M11 2.5l-6 11",
        // A cross.
        TargetState::Failed => "M3.5 3.5l9 9M12.5 3.5l-9 9",
        // The empty set.
        TargetState::Missing => "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M13 3 3 13",
        // A dash.
        TargetState::Skipped => "M3 8h10",
        // A clock.
        TargetState::Expired => "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2M8 4.8V8l2.4 1.6",
        // An arrow turning back.
        TargetState::Withdrawn => "M6 3 2.5 6.5 6 10M2.5 6.5h7a3.5 3.5 0 0 1 0 7H7",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_states_share_a_drawing_or_words() {
        for (index, one) in TargetState::ALL.iter().enumerate() {
            for other in &TargetState::ALL[index + 1..] {
                assert_ne!(drawing(*one), drawing(*other), "{} and {}", one.code(), other.code());
                assert_ne!(one.words(), other.words());
                assert_ne!(meaning(*one), meaning(*other));
            }
            for (code, words, over) in OVERLAYS {
                assert!(drawing(*one) != over && one.words() != words, "{} and {code}", one.code());
            }
        }
    }

    #[test]
    fn red_is_for_what_is_broken() {
        let red: Vec<_> =
            TargetState::ALL.into_iter().filter(|s| tone(*s) == Tone::Broken).map(TargetState::code).collect();
        assert_eq!(red, ["conflict", "failed", "missing", "withdrawn"]);
    }

    #[test]
    fn a_chip_says_the_word_beside_its_glyph() {
        for state in TargetState::ALL {
            let chip = chip(state).into_string();
            assert!(chip.contains(&format!("href=\"#g-{}\"", state.code())), "{chip}");
            assert!(chip.ends_with(&format!("</svg>{}</span>", state.words())), "{chip}");
        }
    }
}
