//! What a key means. Pure: which element is meant by it, `hand` finds.
//!
//! The page's own list of keys is `/help/keys`. Letters and signs can be switched off, since they get in the way of those
//! who speak to their computer; keys that write nothing stay.

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The filter.
    Filter,
    /// The search over all projects.
    Search,
    /// The list of keys.
    Help,
    /// The cell or row beside, by columns and rows.
    Move(i32, i32),
    /// What the cell or row leads to.
    Open,
    /// Without what was opened.
    Close,
    /// Out of the field.
    Leave,
    /// What needs somebody: the next, or the one before.
    Need { is_next: bool },
    /// Only what is broken, or all again.
    Exceptions,
    /// The page's address, in the clipboard.
    CopyLink,
    /// No updates, or updates again.
    Pause,
    /// The next key names a page.
    Go,
    /// The page of all projects, or one of the project's.
    Page(&'static str),
}

/// A key as the browser tells of it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one key press")]
pub(crate) struct Pressed<'a> {
    /// `KeyboardEvent.key`.
    pub(crate) key: &'a str,
    /// Whether Control or the command key is held.
    pub(crate) with_control: bool,
    /// Whether Alt is held.
    pub(crate) with_alt: bool,
    /// Whether something is written into a field.
    pub(crate) is_typing: bool,
    /// Whether a cell or a row has the focus: elsewhere, arrows scroll.
    pub(crate) is_in_table: bool,
    /// Whether the key before was [`Key::Go`].
    pub(crate) after_go: bool,
    /// Whether letters and signs mean anything.
    pub(crate) has_keys: bool,
}

/// What it means. `None` leaves it to the browser.
pub(crate) fn meaning(pressed: Pressed<'_>) -> Option<Key> {
    if pressed.with_control || pressed.with_alt {
        return (pressed.with_control && !pressed.with_alt && pressed.key == "k").then_some(Key::Search);
    }
    if pressed.is_typing {
        return (pressed.key == "Escape").then_some(Key::Leave);
    }
    let silent = match pressed.key {
        "Escape" => Some(Key::Close),
        "Enter" if pressed.is_in_table => Some(Key::Open),
        "ArrowLeft" if pressed.is_in_table => Some(Key::Move(-1, 0)),
        "ArrowRight" if pressed.is_in_table => Some(Key::Move(1, 0)),
        "ArrowUp" if pressed.is_in_table => Some(Key::Move(0, -1)),
        "ArrowDown" if pressed.is_in_table => Some(Key::Move(0, 1)),
        _ => None,
    };
    if silent.is_some() || !pressed.has_keys {
        return silent;
    }
    if pressed.after_go {
        return match pressed.key {
            "h" => Some(Key::Page("")),
            "a" => Some(Key::Page("activity")),
            "d" => Some(Key::Page("deployments")),
            _ => None,
        };
    }
    Some(match pressed.key {
        "/" => Key::Filter,
        "?" => Key::Help,
        "h" => Key::Move(-1, 0),
        "j" => Key::Move(0, 1),
        "k" => Key::Move(0, -1),
        "l" => Key::Move(1, 0),
        "n" => Key::Need { is_next: true },
        "p" => Key::Need { is_next: false },
        "f" => Key::Exceptions,
        "y" => Key::CopyLink,
        "u" => Key::Pause,
        "g" => Key::Go,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use slipway_view::page::Reader;

    use super::*;

    const PLAIN: Pressed<'_> = Pressed {
        key: "",
        with_control: false,
        with_alt: false,
        is_typing: false,
        is_in_table: false,
        after_go: false,
        has_keys: true,
    };

    #[test]
    fn each_key_means_one_thing() {
        for (key, meant) in [
            ("/", Key::Filter),
            ("?", Key::Help),
            ("h", Key::Move(-1, 0)),
            ("j", Key::Move(0, 1)),
            ("k", Key::Move(0, -1)),
            ("l", Key::Move(1, 0)),
            ("n", Key::Need { is_next: true }),
            ("p", Key::Need { is_next: false }),
            ("f", Key::Exceptions),
            ("y", Key::CopyLink),
            ("u", Key::Pause),
            ("g", Key::Go),
            ("Escape", Key::Close),
        ] {
            assert_eq!(meaning(Pressed { key, ..PLAIN }), Some(meant), "{key}");
        }
        assert_eq!(meaning(Pressed { key: "q", ..PLAIN }), None);
    }

    /// The keys of `/help/keys`, those that are pressed one after the other together.
    fn listed() -> Vec<Vec<String>> {
        let page = slipway_view::page::help_keys(&Reader::default()).into_string();
        let keys = |list: &str| {
            list.split("<kbd>").skip(1).filter_map(|rest| rest.split('<').next().map(str::to_owned)).collect()
        };
        page.split("<dt>").skip(1).filter_map(|rest| rest.split("</dt>").next()).map(keys).collect()
    }

    /// What a key of that page means, by the name that it has there.
    fn meaning_of(name: &str, after_go: bool) -> Option<Key> {
        let key = match name {
            "←" => "ArrowLeft",
            "→" => "ArrowRight",
            "↑" => "ArrowUp",
            "↓" => "ArrowDown",
            "Esc" => "Escape",
            "Ctrl+K" => return meaning(Pressed { key: "k", with_control: true, ..PLAIN }),
            other => other,
        };
        meaning(Pressed { key, is_in_table: true, after_go, ..PLAIN })
    }

    #[test]
    fn the_page_of_keys_has_every_letter_and_sign_that_means_something_and_no_other() {
        let mut named = Vec::new();
        for keys in listed() {
            match keys.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["g", page] => assert!(matches!(meaning_of(page, true), Some(Key::Page(_))), "g {page}"),
                keys => {
                    for key in keys {
                        assert!(meaning_of(key, false).is_some(), "{key}");
                        named.push((*key).to_owned());
                    }
                }
            }
        }
        for letter in ('!'..='~').map(String::from).filter(|letter| letter != "g") {
            assert_eq!(meaning_of(&letter, false).is_some(), named.contains(&letter), "{letter}");
            let is_page = listed().contains(&vec!["g".to_owned(), letter.clone()]);
            assert_eq!(meaning_of(&letter, true).is_some(), is_page, "g {letter}");
        }
    }

    #[test]
    fn after_g_a_letter_names_a_page_and_nothing_else() {
        for (key, meant) in
            [("h", Some("")), ("a", Some("activity")), ("d", Some("deployments")), ("u", None), ("g", None)]
        {
            assert_eq!(meaning(Pressed { key, after_go: true, ..PLAIN }), meant.map(Key::Page), "{key}");
        }
    }

    #[test]
    fn nothing_is_taken_from_those_who_type() {
        let typing = Pressed { is_typing: true, is_in_table: true, ..PLAIN };
        for key in ["/", "?", "h", "n", "u", "g", "Enter", "ArrowLeft"] {
            assert_eq!(meaning(Pressed { key, ..typing }), None, "{key}");
        }
        assert_eq!(meaning(Pressed { key: "Escape", ..typing }), Some(Key::Leave));
    }

    #[test]
    fn with_letters_switched_off_only_keys_that_write_nothing_are_left() {
        let off = Pressed { has_keys: false, is_in_table: true, ..PLAIN };
        for key in ["/", "?", "h", "j", "k", "l", "n", "p", "f", "y", "u", "g"] {
            assert_eq!(meaning(Pressed { key, ..off }), None, "{key}");
            assert_eq!(meaning(Pressed { key, after_go: true, ..off }), None, "{key}");
        }
        for (key, meant) in [("ArrowDown", Key::Move(0, 1)), ("Enter", Key::Open), ("Escape", Key::Close)] {
            assert_eq!(meaning(Pressed { key, ..off }), Some(meant), "{key}");
        }
    }

    #[test]
    fn arrows_scroll_where_no_cell_has_the_focus() {
        for key in ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Enter"] {
            assert_eq!(meaning(Pressed { key, ..PLAIN }), None, "{key}");
        }
    }

    #[test]
    fn the_browsers_own_shortcuts_stay_its_own() {
        for key in ["/", "f", "p", "n", "u", "ArrowLeft", "Escape"] {
            assert_eq!(meaning(Pressed { key, with_control: true, is_in_table: true, ..PLAIN }), None, "{key}");
            assert_eq!(meaning(Pressed { key, with_alt: true, is_in_table: true, ..PLAIN }), None, "{key}");
        }
        let search = Pressed { key: "k", with_control: true, ..PLAIN };
        assert_eq!(meaning(search), Some(Key::Search));
        assert_eq!(meaning(Pressed { is_typing: true, has_keys: false, ..search }), Some(Key::Search));
        assert_eq!(meaning(Pressed { with_alt: true, ..search }), None);
    }
}
