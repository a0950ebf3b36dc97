//! Every link of the documents leads somewhere: to a file of this repository, and to a heading that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use slipway_core::release::TargetState;
use slipway_ledger::audit::ACTIONS;
use slipway_stack::Places;

/// Pages that are parts of an archive: their links are to what is beside them there.
const ELSEWHERE: [&str; 1] = ["worker/dist/README.md"];

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    const NOT_OURS: [&str; 4] = ["target", "build", "node_modules", ".git"];
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// The text of a page without its blocks, in which brackets are no links.
fn prose(page: &str) -> String {
    let mut is_fenced = false;
    let mut kept = String::new();
    for line in page.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        if !is_fenced && !is_fence {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Where the links of a page lead.
fn links(page: &str) -> BTreeSet<String> {
    let text = prose(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.contains("://") && !target.is_empty()).map(str::to_owned).collect()
}

/// What headings are called in links.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let heading = heading.to_lowercase();
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter),
        _ => None,
    });
    kept.collect()
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading_that_are_there() {
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let mut files = Vec::new();
    pages(&root, &mut files);
    let mut astray = Vec::new();
    for file in files.iter().filter(|file| !ELSEWHERE.iter().any(|page| file.ends_with(page))) {
        let page = fs::read_to_string(file).expect("a page is text");
        let own = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        for link in links(&page) {
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let to = if path.is_empty() { file.clone() } else { file.parent().expect("it is in a folder").join(path) };
            if !to.exists() {
                astray.push(format!("{own}: there is no `{link}`"));
            } else if !heading.is_empty() && to.extension().is_some_and(|end| end == "md") {
                let there = anchors(&fs::read_to_string(&to).expect("a page is text"));
                if !there.contains(heading) {
                    astray.push(format!("{own}: `{path}` has no heading `#{heading}`"));
                }
            }
        }
    }
    assert!(files.len() > 40, "pages are found: {}", files.len());
    assert!(astray.is_empty(), "{}", astray.join("\n"));
}

#[test]
fn headings_are_called_as_the_pages_are_shown() {
    for (heading, name) in [
        ("429", "429"),
        ("Slipway or Cloudflare down on release day", "slipway-or-cloudflare-down-on-release-day"),
        ("A job that is refused at once", "a-job-that-is-refused-at-once"),
        ("What `verify` says", "what-verify-says"),
        ("1. Two users, and why", "1-two-users-and-why"),
    ] {
        assert_eq!(anchor(heading), name);
    }
    assert_eq!(
        links("[a](b.md#c) `x` [d](https://e.example)\n```\n[f](g)\n```\n"),
        BTreeSet::from(["b.md#c".to_owned()])
    );
}

#[test]
fn every_secret_that_a_deployment_may_have_is_explained_and_has_a_way_to_be_changed() {
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let read = |file: &str| fs::read_to_string(root.join(file)).expect("it is in the repository");
    let (wrangler, page) = (read("wrangler.toml"), read("docs/operators/secrets.md"));
    let (what, change) = page.split_once("\n## Change one\n").expect("the page has both");
    let names: Vec<&str> = wrangler
        .lines()
        .filter_map(|line| line.strip_prefix("#   ")?.split_whitespace().next())
        .filter(|name| name.contains('_') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        for (part, text) in [("what it is", what), ("how it is changed", change)] {
            let in_a_row = text.lines().any(|line| line.starts_with("| ") && line.contains(&format!("`{name}`")));
            assert!(in_a_row, "docs/operators/secrets.md does not say of {name} {part}");
        }
    }
}

/// The sources of a folder, by their paths, without their tests.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    fn read(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("tests") {
                read(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).expect("a source is text");
                let own = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                found.push((path, own));
            }
        }
    }
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let mut found = Vec::new();
    for folder in folders {
        read(&root.join(folder), &mut found);
    }
    found
}

/// Whether a text is a word as codes are: `too-late`.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.split('-').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// The words in the first cells of the tables below a heading.
fn words_of_tables<'a>(page: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let (_, below) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no `{heading}`"));
    let rows = below.lines().take_while(|line| !line.starts_with("# ")).filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The kinds of problems that a source can answer with: each stands behind its status, `409, "too-late"`.
fn kinds(source: &str) -> BTreeSet<String> {
    let pieces: Vec<&str> = source.split('"').collect();
    let statuses = pieces.windows(2).filter_map(|pair| {
        let before = pair[0].trim_end().strip_suffix(',')?.trim_end();
        let status = before.get(before.len().checked_sub(3)?..)?;
        let is_status = status.starts_with(['4', '5']) && status.bytes().all(|byte| byte.is_ascii_digit());
        (is_status && is_word(pair[1])).then(|| pair[1].to_owned())
    });
    statuses.collect()
}

#[test]
fn every_kind_of_problem_that_the_edge_answers_with_is_in_a_table_and_every_row_is_of_one() {
    // A job that releases all that remain is answered with the reason of one of them, or with this.
    const ALL_THAT_REMAIN: &str = ".unwrap_or(\"nothing-left\")";
    let mut written = BTreeSet::new();
    for (_, source) in sources(&["worker/src", "crates/edge/src"]) {
        written.extend(kinds(&source));
        written.extend(source.contains(ALL_THAT_REMAIN).then(|| "nothing-left".to_owned()));
    }
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let page = fs::read_to_string(root.join("docs/release-managers/problems.md")).expect("the page is there");
    let explained = words_of_tables(&page, "## A job that is refused at once");
    let written: BTreeSet<&str> = written.iter().map(String::as_str).collect();
    assert_eq!(written.difference(&explained).collect::<Vec<_>>(), Vec::<&&str>::new(), "problems.md lacks these");
    assert_eq!(explained.difference(&written).collect::<Vec<_>>(), Vec::<&&str>::new(), "nothing answers with these");
    assert!(written.len() > 50, "{written:?}");
}

#[test]
fn every_action_that_the_audit_has_is_in_its_table_and_every_row_of_the_table_is_of_one() {
    let root = Places::of_this_clone().expect("tests run in a clone").root;
    let page = fs::read_to_string(root.join("docs/audit.md")).expect("the page is there");
    let (page, _) = page.split_once("\n## Canonical bytes\n").expect("the page has it");
    assert_eq!(words_of_tables(page, "## The actions"), ACTIONS.iter().copied().collect());
    for state in TargetState::ALL.map(TargetState::code) {
        // The two others come with a row of another name.
        assert!(ACTIONS.contains(&state) || ["skipped", "expired"].contains(&state), "{state}");
    }
}

#[test]
fn kinds_are_found_as_sources_write_them() {
    let source =
        "Problem::new(409, \"a-b\", \"No.\"), Problem::new(\n  503,\n  \"c\",\n), (403, \"d\"), vec![7, \"e\"]";
    assert_eq!(kinds(source), ["a-b", "c", "d"].map(str::to_owned).into());
}
