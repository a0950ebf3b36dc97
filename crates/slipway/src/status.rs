//! `slipway status`: the matrix of a release as text.

use slipway_core::api::{Package, Problem, Release, Target};

use crate::follow::words;

/// How many hex digits of a digest are shown: enough to compare by eye with `sha256sum`.
const DIGEST_DIGITS: usize = 12;

const TITLES: [&str; 6] = ["KEY", "DISTRO", "STATE", "SHA-256", "SINCE (UTC)", "APPROVED BY"];

/// The verdict, then a row for every target of every expected package.
pub(crate) fn table(release: &Release) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    for package in &release.packages {
        if package.targets.is_empty() {
            let row = [package.key.as_str(), "-", "no route", &digest(package), "", ""];
            rows.push(row.map(str::to_owned));
        }
        rows.extend(package.targets.iter().map(|target| row(package, target)));
    }
    let mut widths = [0; TITLES.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = format!("{}\n", release.verdict);
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push('\n');
        text.push_str(cells.join("  ").trim_end());
    }
    text.push('\n');
    for package in &release.packages {
        for target in &package.targets {
            let Some(Problem { what, next, .. }) = &target.problem else { continue };
            let place = format!("\n{}  {}", package.key, target.distro);
            text.extend([&place, "  ", what, "\n  next: ", next, "\n"]);
        }
    }
    text
}

fn row(package: &Package, target: &Target) -> [String; TITLES.len()] {
    let by = target.approval.as_ref().map(|approval| format!("{}, {}", approval.by, minute(&approval.at)));
    [
        package.key.to_string(),
        target.distro.clone(),
        words(target),
        digest(package),
        minute(&target.since),
        by.unwrap_or_default(),
    ]
}

fn digest(package: &Package) -> String {
    package.file.as_ref().map_or_else(|| "-".to_owned(), |file| file.digest.hex().chars().take(DIGEST_DIGITS).collect())
}

/// `2026-11-23T08:15:12.000Z` as `2026-11-23 08:15`. Other text stays as it is.
fn minute(time: &str) -> String {
    match time.split_once('T') {
        Some((day, clock)) if clock.ends_with('Z') => format!("{day} {}", clock.chars().take(5).collect::<String>()),
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::api::Approval;

    use super::*;
    use crate::testing;

    #[test]
    fn the_verdict_comes_first_and_every_expected_key_is_named() {
        let mut release = testing::release(&[("a-long-key", "released staged"), ("deb", "expected"), ("odd", "")]);
        if let Some(package) = release.packages.iter_mut().find(|package| package.key.as_str() == "deb") {
            package.file = None;
        }
        testing::target(&mut release).approval = Some(Approval {
            by: "mira".to_owned(),
            via: "job".to_owned(),
            at: "2026-11-23T09:01:59.123Z".to_owned(),
            job_url: String::new(),
        });
        assert_eq!(
            table(&release),
            "1 of 3 packages is awaited\n\
             \n\
             KEY         DISTRO  STATE           SHA-256       SINCE (UTC)       APPROVED BY\n\
             a-long-key  d/0     Released        e3b0c44298fc  2026-11-23 08:15  mira, 2026-11-23 09:01\n\
             a-long-key  d/1     Staged          e3b0c44298fc  2026-11-23 08:15\n\
             deb         d/0     Not staged yet  -             2026-11-23 08:15\n\
             odd         -       no route        e3b0c44298fc\n"
        );
    }

    #[test]
    fn a_problem_is_explained_below_the_table() {
        let mut release = testing::release(&[("deb", "failed")]);
        testing::target(&mut release).problem = Some(testing::problem());
        let text = table(&release);
        assert!(text.ends_with("\ndeb  d/0  The server answered 504.\n  next: Play the job again.\n"), "{text}");
    }
}
