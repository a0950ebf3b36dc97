//! Holds `docs/operators/configuration.md` to the code, both ways: every setting that a file may have is on the page, in the
//! section of its table, and the page has no other.
//!
//! Which settings there are is asked of the reader itself: it refuses a name that no table has, and says which it would take.

use std::collections::{BTreeMap, BTreeSet};

use super::File;

const PAGE: &str = include_str!("../../../../docs/operators/configuration.md");

/// No setting has this name.
const NOBODY: &str = "zzz";

/// How a table is written inside of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// `name = { … }`.
    Once,
    /// `name = [{ … }]`.
    Often,
    /// `name = { ANY = { … } }`.
    ByName,
}

/// The settings of one table, by the way to it. `None` where there is no table.
fn settings(way: &[(String, Written)]) -> Option<BTreeSet<String>> {
    let mut text = format!("{{ {NOBODY} = 0 }}");
    for (name, written) in way.iter().rev() {
        text = match written {
            Written::Once => format!("{{ {name} = {text} }}"),
            Written::Often => format!("{{ {name} = [{text}] }}"),
            Written::ByName => format!("{{ {name} = {{ any = {text} }} }}"),
        };
    }
    // A file is the inside of its outermost table.
    let text = text.strip_prefix("{ ")?.strip_suffix(" }")?;
    let error = toml::from_str::<File>(text).err()?.to_string();
    let (_, taken) = error.split_once(&format!("unknown field `{NOBODY}`, expected "))?;
    Some(taken.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// The heading of a table on the page.
fn heading(way: &[(String, Written)]) -> String {
    let names: Vec<&str> = way.iter().map(|(name, _)| name.as_str()).collect();
    let name = names.join(".");
    match way.last() {
        None => "The file".to_owned(),
        Some((_, Written::Once)) => format!("`[{name}]`"),
        Some((_, Written::Often)) => format!("`[[{name}]]`"),
        Some((_, Written::ByName)) => format!("`[{name}.NAME]`"),
    }
}

/// Every table that the reader takes, by its heading, with its settings.
fn tables(way: &mut Vec<(String, Written)>, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let Some(own) = settings(way) else { return };
    for name in &own {
        for written in [Written::Once, Written::Often, Written::ByName] {
            way.push((name.clone(), written));
            tables(way, found);
            way.pop();
        }
    }
    found.insert(heading(way), own);
}

/// The sections of a page that have a table of settings, by their headings, with the settings.
fn sections(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    let mut heading = "";
    let mut is_of_settings = false;
    for line in page.lines() {
        if let Some(text) = line.strip_prefix('#') {
            heading = text.trim_start_matches('#').trim();
            is_of_settings = false;
        } else if line.starts_with("| setting |") {
            is_of_settings = true;
        } else if !line.starts_with('|') {
            is_of_settings = false;
        } else if is_of_settings && line.starts_with("| `") {
            let first = line.trim_start_matches("| ").split(" |").next().unwrap_or_default();
            let names = first.split('`').skip(1).step_by(2).map(str::to_owned);
            let names: BTreeSet<String> = names.collect();
            // Two tables that are alike share a section.
            for heading in heading.split(", ") {
                found.entry(heading.to_owned()).or_insert_with(BTreeSet::new).extend(names.iter().cloned());
            }
        }
    }
    found
}

#[test]
fn the_page_has_every_setting_in_the_section_of_its_table_and_no_other() {
    let mut found = BTreeMap::new();
    tables(&mut Vec::new(), &mut found);
    assert!(found.contains_key("`[[gates.freeze]]`"), "tables in tables are found: {:?}", found.keys());
    let page = sections(PAGE);
    for (heading, settings) in &found {
        let shown = page.get(heading).cloned().unwrap_or_default();
        let missing: Vec<_> = settings.difference(&shown).collect();
        assert!(missing.is_empty(), "docs/operators/configuration.md lacks, under `{heading}`: {missing:?}");
    }
    for (heading, shown) in &page {
        let settings = found.get(heading).cloned().unwrap_or_default();
        let invented: Vec<_> = shown.difference(&settings).collect();
        assert!(invented.is_empty(), "under `{heading}` no file may have: {invented:?}");
    }
}

#[test]
fn the_whole_example_of_the_page_can_be_used() {
    let example = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.expect("the page begins with a whole file");
    if let Err(error) = super::Config::parse(example) {
        panic!("{error}");
    }
}

#[test]
fn a_section_is_read_by_its_table_of_settings_alone() {
    let page = "# A, C\n\n| setting | is |\n|---|---|\n| `one`, `two` | `three` |\n\n| other | |\n|---|---|\n| `four` | |\n\n## B\n\
                | setting | |\n|---|---|\n| `five` | a |\n";
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let both = all(&["one", "two"]);
    let expected = [("A".to_owned(), both.clone()), ("B".to_owned(), all(&["five"])), ("C".to_owned(), both)];
    assert_eq!(sections(page), BTreeMap::from(expected));
}
