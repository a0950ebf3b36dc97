//! `slipway status`: the matrix of a release as text.

// Writing to a `String` cannot fail.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use slipway_core::amount::size;
use slipway_core::api::{
    Act, Attempt, Closing, Hold, Package, Release, Strangers, Target, TargetHistory, Withdrawal, WithdrawalState,
};
use slipway_core::audit::person;
use slipway_core::release::TargetState;

use crate::follow::{explained, words};
use crate::gates::closed;
use crate::progress;

/// How many hex digits of a digest are shown: enough to compare by eye with `sha256sum`.
const DIGEST_DIGITS: usize = 12;

const TITLES: [&str; 8] = ["KEY", "FOR", "STATE", "BYTES", "TRIES", "SHA-256", "SINCE (UTC)", "APPROVED BY"];

/// Columns that a narrow terminal does without, the first to go first.
const DISPENSABLE: [usize; 5] = [7, 6, 5, 4, 3];

/// The verdict, then a row for every target of every expected package. On a terminal of so many columns rows are as wide as
/// it is: one that the terminal breaks cannot be read.
pub(crate) fn table(release: &Release, columns: Option<usize>) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    for package in &release.packages {
        if package.targets.is_empty() {
            let row = [package.key.as_str(), "-", "no route", &bytes(package, None), "", &digest(package), "", ""];
            rows.push(row.map(str::to_owned));
        }
        rows.extend(package.targets.iter().map(|target| row(package, target)));
    }
    let mut text = format!("{}\n", release.verdict);
    if let Some(end) = progress::end(release) {
        text.extend([&end, "\n"]);
    }
    if let Some(Closing { by, reason, at }) = &release.closed {
        let _ = writeln!(text, "closed by {}, {} UTC: {reason}", person(by), minute(at));
    }
    if let Some(newer) = &release.suggests_close {
        let _ = writeln!(
            text,
            "{newer} is complete: if nothing more of this one is to be released, give it up with `slipway close`"
        );
    }
    for hold in &release.holds {
        text.extend([&held(hold), "\n"]);
    }
    text.push('\n');
    text.push_str(&fitted(&rows, columns.unwrap_or(usize::MAX)));
    text.push_str(&blocked(release));
    for package in &release.packages {
        let Some(expires) = package.targets.iter().find_map(|target| target.expires_at.as_deref()) else { continue };
        let _ = writeln!(
            text,
            "\nexpires  {}\n  its staged copy is deleted from {} UTC on; `slipway extend {}` keeps it",
            package.key,
            minute(expires),
            package.key
        );
    }
    for package in &release.packages {
        for target in &package.targets {
            let Some(problem) = &target.problem else { continue };
            let _ = writeln!(text, "\n{}  {}\n{}", package.key, target.name(), explained(problem));
        }
    }
    text
}

/// How much the public repositories have that did not come through Slipway. Nothing where that is nothing.
pub(crate) fn strangers(strangers: &Strangers) -> String {
    let mut text = String::new();
    for of in &strangers.repositories {
        let count = of.more.saturating_add(u64::try_from(of.strangers.len()).unwrap_or(u64::MAX));
        let what = match count {
            0 => continue,
            1 => "1 thing that".to_owned(),
            many => format!("{many} things that"),
        };
        let _ =
            writeln!(text, "\n{} has {what} did not come through Slipway; `slipway doctor` says which", of.repository);
    }
    text
}

/// Who holds what, until when, and why.
pub(crate) fn held(Hold { key, by, reason, at, until }: &Hold) -> String {
    let what = key.as_ref().map_or_else(|| "the whole release".to_owned(), |key| format!("`{key}`"));
    let end = until.as_deref().map(|until| format!(" until {} UTC", minute(until))).unwrap_or_default();
    format!("held{end}: {what}, by {}, {} UTC: {reason}", person(by), minute(at))
}

/// What is in a package's way, below what was tried for one of its targets.
pub(crate) fn in_the_way(package: &Package, target: &Target) -> String {
    if target.state != TargetState::Staged || package.blocked.is_empty() {
        return String::new();
    }
    format!("\nblocked\n  {}\n", closed(package).join("\n  "))
}

/// What is blocked, below the table: packages that the same gates keep are one paragraph.
fn blocked(release: &Release) -> String {
    let mut keys_by_gates: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for package in release.packages.iter().filter(|package| !package.blocked.is_empty()) {
        keys_by_gates.entry(closed(package)).or_default().push(package.key.as_str());
    }
    let mut paragraphs: Vec<(Vec<&str>, Vec<String>)> =
        keys_by_gates.into_iter().map(|(gates, keys)| (keys, gates)).collect();
    paragraphs.sort();
    let mut text = String::new();
    for (keys, gates) in paragraphs {
        let _ = writeln!(text, "\nblocked  {}\n  {}", keys.join(", "), gates.join("\n  "));
    }
    text
}

/// The table with as many of its columns as fit. Where not even the key, the target and the state fit side by side, the key
/// has a line of its own.
fn fitted(rows: &[[String; TITLES.len()]], columns: usize) -> String {
    let kept = |dropped: &[usize]| {
        let keep = |row: &[String; TITLES.len()]| {
            let cells = row.iter().enumerate().filter(|(index, _)| !dropped.contains(index));
            cells.map(|(_, cell)| cell.clone()).collect::<Vec<_>>()
        };
        rows.iter().map(keep).collect::<Vec<_>>()
    };
    for count in 0..=DISPENSABLE.len() {
        let rows = kept(DISPENSABLE.get(..count).unwrap_or_default());
        let width = |widths: Vec<usize>| widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        if width(widths(&rows)) <= columns {
            return laid_out(&rows);
        }
    }
    let mut text = String::new();
    for [key, target, state, bytes, ..] in rows.iter().skip(1) {
        let _ = writeln!(text, "{key}\n  {target}  {state}  {bytes}");
    }
    text
}

fn widths<Row: AsRef<[String]>>(rows: &[Row]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(row.as_ref().len().max(widths.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}

/// Rows in columns as wide as their widest cell.
pub(crate) fn laid_out<Row: AsRef<[String]>>(rows: &[Row]) -> String {
    let widths = widths(rows);
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width));
        let cells: Vec<String> = cells.collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A target and everything that was tried for it.
pub(crate) fn history(history: &TargetHistory) -> String {
    let TargetHistory { key, target, attempts } = history;
    let mut text = format!(
        "{key}  {}  {}  {} since {} UTC\n",
        target.name(),
        target.public.repository,
        words(target),
        minute(&target.since)
    );
    if let Some(approval) = &target.approval {
        let _ = writeln!(text, "approved by {}, {} UTC", approval.by, minute(&approval.at));
    }
    if let Some(withdrawal) = &target.withdrawal {
        let Withdrawal { by, reason, at, state, users, notes, .. } = withdrawal.as_ref();
        let how = match state {
            WithdrawalState::UnderWay => "being taken back, asked for",
            WithdrawalState::Withdrawn => "taken back",
            WithdrawalState::NotWithdrawn => "could not be taken back, asked for",
        };
        let _ = writeln!(text, "{how} by {}, {} UTC: {reason}", person(by), minute(at));
        for sentence in users.iter().chain(notes) {
            let _ = writeln!(text, "  - {sentence}");
        }
    }
    if let Some(expires) = &target.expires_at {
        let _ = writeln!(
            text,
            "its staged copy is deleted from {} UTC on; `slipway extend {key}` keeps it",
            minute(expires)
        );
    }
    if attempts.is_empty() {
        text.push_str("\nnothing was tried yet\n");
    } else {
        let titles = ["ATTEMPT", "APPROVAL", "BEGAN (UTC)", "ENDED (UTC)", "DID", "ENDED AS"];
        let mut rows = vec![titles.map(str::to_owned)];
        rows.extend(attempts.iter().map(attempt));
        text.push('\n');
        text.push_str(&laid_out(&rows));
    }
    for (attempt, problem) in attempts.iter().filter_map(|attempt| Some((attempt, attempt.problem.as_ref()?))) {
        let _ = writeln!(text, "\nattempt {}\n{}", attempt.number, explained(problem));
    }
    text
}

fn attempt(attempt: &Attempt) -> [String; 6] {
    let act = match attempt.act {
        Act::Look => "look",
        Act::Copy => "copy",
        Act::Move => "move",
    };
    [
        attempt.number.to_string(),
        attempt.approval.to_string(),
        second(&attempt.began_at),
        second(&attempt.ended_at),
        act.to_owned(),
        attempt.ended.clone(),
    ]
}

fn row(package: &Package, target: &Target) -> [String; TITLES.len()] {
    let by = target.approval.as_ref().map(|approval| format!("{}, {}", approval.by, minute(&approval.at)));
    [
        package.key.to_string(),
        target.name().into_owned(),
        if package.blocked.is_empty() || target.state != TargetState::Staged {
            words(target)
        } else {
            format!("{}, blocked", words(target))
        },
        bytes(package, Some(target)),
        target.attempts.to_string(),
        digest(package),
        minute(&target.since),
        by.unwrap_or_default(),
    ]
}

/// How many bytes have been sent while a target is copied, else the package's size.
fn bytes(package: &Package, target: Option<&Target>) -> String {
    let sent = target.and_then(|target| progress::sent(package, target));
    let whole = || package.file.as_ref().map(|file| size(file.size));
    sent.or_else(whole).unwrap_or_else(|| "-".to_owned())
}

fn digest(package: &Package) -> String {
    package.file.as_ref().map_or_else(|| "-".to_owned(), |file| file.digest.hex().chars().take(DIGEST_DIGITS).collect())
}

/// `2026-11-23T08:15:12.000Z` as `2026-11-23 08:15`. Other text stays as it is.
pub(crate) fn minute(time: &str) -> String {
    short(time, "00:00".len())
}

/// `2026-11-23T08:15:12.000Z` as `2026-11-23 08:15:12`. Other text stays as it is.
fn second(time: &str) -> String {
    short(time, "00:00:00".len())
}

fn short(time: &str, clock_characters: usize) -> String {
    match time.split_once('T') {
        Some((day, clock)) if clock.ends_with('Z') => {
            format!("{day} {}", clock.chars().take(clock_characters).collect::<String>())
        }
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::api::{Approval, Estimate, Step};

    use super::*;
    use crate::testing;

    #[test]
    fn the_verdict_comes_first_and_every_expected_key_is_named() {
        let mut release = testing::release(&[("a-long-key", "released staged"), ("deb", "expected"), ("odd", "")]);
        if let Some(package) = release.packages.iter_mut().find(|package| package.key.as_str() == "deb") {
            package.file = None;
        }
        testing::target(&mut release).approval = Some(approval());
        testing::target(&mut release).attempts = 2;
        assert_eq!(
            table(&release, None),
            "1 of 3 packages is awaited\n\
             \n\
             KEY         FOR  STATE           BYTES  TRIES  SHA-256       SINCE (UTC)       APPROVED BY\n\
             a-long-key  d/0  Released        0 B    2      e3b0c44298fc  2026-11-23 08:15  mira, 2026-11-23 09:01\n\
             a-long-key  d/1  Staged          0 B    0      e3b0c44298fc  2026-11-23 08:15\n\
             deb         d/0  Not staged yet  -      0      -             2026-11-23 08:15\n\
             odd         -    no route        0 B           e3b0c44298fc\n"
        );
    }

    #[test]
    fn what_is_announced_is_named_with_when_it_expires_and_how_to_keep_it() {
        let mut release = testing::release(&[("a", "released"), ("b", "released")]);
        testing::target(&mut release).expires_at = Some("2026-12-01T10:00:00.000Z".to_owned());
        let text = table(&release, None);
        let says =
            "\nexpires  a\n  its staged copy is deleted from 2026-12-01 10:00 UTC on; `slipway extend a` keeps it\n";
        assert!(text.contains(says) && text.matches("expires").count() == 1, "{text}");
    }

    #[test]
    fn no_row_is_wider_than_the_terminal_and_every_state_is_there() {
        let release = testing::release(&[("a-long-key", "released staged"), ("deb", "expected")]);
        for columns in 30..160 {
            let text = table(&release, Some(columns));
            let rows: Vec<&str> = text.lines().skip(2).collect();
            assert!(rows.iter().all(|row| row.chars().count() <= columns), "{columns}\n{text}");
            for word in ["a-long-key", "Released", "Staged", "Not staged yet"] {
                assert!(text.contains(word), "{columns}: {word} is missing in\n{text}");
            }
        }
        assert_eq!(table(&release, Some(160)), table(&release, None));
        assert!(table(&release, Some(50)).contains("\nKEY         FOR  STATE           BYTES  TRIES\n"));
    }

    #[test]
    fn what_is_on_its_way_shows_its_bytes_and_its_end() {
        let mut release = testing::release(&[("deb", "releasing")]);
        for package in &mut release.packages {
            package.file.as_mut().expect("a file").size = 456_000_000;
        }
        let target = testing::target(&mut release);
        (target.step, target.bytes, target.attempts) = (Some(Step::Copy), Some(123_000_000), 1);
        release.estimate = Some(Estimate {
            ends_at: "2026-11-23T09:04:10.000Z".to_owned(),
            bytes_left: 333_000_000,
            bytes_per_second: 1_332_000,
        });
        assert_eq!(
            table(&release, None),
            "1 of 3 packages is awaited\n\
             all that is on its way: released about 09:04:10 UTC, in 4 min; 333.0 MB left at 1.3 MB/s\n\
             \n\
             KEY  FOR  STATE               BYTES              TRIES  SHA-256       SINCE (UTC)       APPROVED BY\n\
             deb  d/0  Releasing: copying  123.0 of 456.0 MB  1      e3b0c44298fc  2026-11-23 08:15\n"
        );
    }

    #[test]
    fn strangers_are_one_line_for_each_repository_that_has_some() {
        use slipway_core::api::{Stranger, SweptRepository};
        let stranger = Stranger {
            distro: Some("ubuntu/jammy".to_owned()),
            tag: None,
            filename: Some("tug_1_amd64.deb".to_owned()),
            digest: None,
            why: "unknown".to_owned(),
            expected: None,
            version: None,
            of_another: false,
            found_at: String::new(),
            seen_at: String::new(),
        };
        let of = |repository: &str, strangers: Vec<Stranger>, more| SweptRepository {
            repository: repository.to_owned(),
            strangers,
            more,
            ..SweptRepository::default()
        };
        let shown = |repositories| strangers(&Strangers { repositories });
        assert_eq!(shown(vec![of("harbour/stable", vec![], 0)]), "");
        assert_eq!(
            shown(vec![
                of("harbour/stable", vec![stranger.clone()], 0),
                of("harbour/none", vec![], 0),
                of("harbour/old", vec![stranger.clone(), stranger], 7)
            ]),
            "\nharbour/stable has 1 thing that did not come through Slipway; `slipway doctor` says which\n\
             \nharbour/old has 9 things that did not come through Slipway; `slipway doctor` says which\n"
        );
    }

    #[test]
    fn a_problem_is_explained_below_the_table() {
        let mut release = testing::release(&[("deb", "failed")]);
        testing::target(&mut release).problem = Some(testing::problem());
        let text = table(&release, None);
        let explained = "\ndeb  d/0\n  The server answered 504.\n  nothing of it is public; playing the job again is safe\n  \
                         next: Play the job again.\n";
        assert!(text.ends_with(explained), "{text}");
    }

    #[test]
    fn what_is_held_or_blocked_says_by_whom_and_why() {
        let mut release = testing::release(&[("deb", "staged"), ("rpm", "staged")]);
        let at = "2026-11-23T08:59:00.000Z".to_owned();
        let hold = Hold { key: None, by: "mira".to_owned(), reason: "a bad build".to_owned(), until: None, at };
        release.holds = vec![hold];
        for package in &mut release.packages {
            let why = "It is held by mira: a bad build.".to_owned();
            package.blocked =
                vec![slipway_core::api::Blocked { gate: "hold".to_owned(), why, until: None, next: None }];
        }
        let text = table(&release, None);
        assert!(text.contains("\nheld: the whole release, by mira, 2026-11-23 08:59 UTC: a bad build\n"), "{text}");
        assert!(text.ends_with("\nblocked  deb, rpm\n  hold: It is held by mira: a bad build. Next: talk to whoever holds it; `slipway hold --lift` ends it.\n"), "{text}");
    }

    #[test]
    fn a_history_tells_of_every_attempt_and_why_it_failed() {
        let mut release = testing::release(&[("deb", "released")]);
        let mut target = testing::target(&mut release).clone();
        target.approval = Some(approval());
        let attempt = |number, ended: &str, problem| Attempt {
            number,
            approval: 7,
            began_at: format!("2026-11-23T09:02:0{number}.000Z"),
            ended_at: format!("2026-11-23T09:03:0{number}.500Z"),
            act: if number == 1 { Act::Copy } else { Act::Look },
            ended: ended.to_owned(),
            problem,
        };
        let key = "deb".parse().expect("a key");
        let none = TargetHistory { key, target, attempts: Vec::new() };
        assert!(history(&none).ends_with("\n\nnothing was tried yet\n"), "{}", history(&none));
        let attempts = vec![attempt(1, "unreachable", Some(testing::problem())), attempt(2, "accepted", None)];
        assert_eq!(
            history(&TargetHistory { attempts, ..none }),
            "deb  d/0  harbour/stable  Released since 2026-11-23 08:15 UTC\n\
             approved by mira, 2026-11-23 09:01 UTC\n\
             \n\
             ATTEMPT  APPROVAL  BEGAN (UTC)          ENDED (UTC)          DID   ENDED AS\n\
             1        7         2026-11-23 09:02:01  2026-11-23 09:03:01  copy  unreachable\n\
             2        7         2026-11-23 09:02:02  2026-11-23 09:03:02  look  accepted\n\
             \n\
             attempt 1\n  The server answered 504.\n  nothing of it is public; playing the job again is safe\n  \
             next: Play the job again.\n"
        );
    }

    fn approval() -> Approval {
        Approval {
            by: "mira".to_owned(),
            via: "job".to_owned(),
            at: "2026-11-23T09:01:59.123Z".to_owned(),
            job_url: String::new(),
        }
    }
}
