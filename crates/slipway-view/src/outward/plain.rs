//! Pages as lines of text, for terminals: `curl -H 'Accept: text/plain'`.

use std::fmt::Write as _;

use slipway_core::api::{Project, PublicPackage, PublicRelease, PublicSummary, Release, ReleaseSummary, TargetHistory};
use slipway_core::release::Version;

use crate::text::{Moment, visible};

/// The projects, one a line, each with its newest versions.
pub fn plain_projects(projects: &[(Project, Vec<String>)]) -> String {
    let rows: Vec<Vec<String>> =
        projects.iter().map(|(project, newest)| vec![visible(&project.name), visible(&newest.join(" "))]).collect();
    table(&rows)
}

/// The releases of a project: a verdict a line.
pub fn plain_releases(releases: &[ReleaseSummary]) -> String {
    table(&releases.iter().map(|release| vec![visible(&release.verdict)]).collect::<Vec<_>>())
}

/// A release: its verdict, then a line for each target.
pub fn plain_release(release: &Release) -> String {
    let mut rows = Vec::new();
    for package in &release.packages {
        for target in &package.targets {
            let mut row = vec![
                package.key.to_string(),
                visible(&target.name()),
                target.state.words().to_owned(),
                minute(&target.since),
            ];
            row.extend(target.problem.as_ref().map(|problem| visible(&problem.what)));
            rows.push(row);
        }
    }
    format!("{}\n{}\n{}", visible(&release.verdict), as_of(&release.at), table(&rows))
}

/// A target: how far it is, why, and what was tried for it.
pub fn plain_target(project: &str, version: &Version, history: &TargetHistory) -> String {
    let target = &history.target;
    let name = format!("{project} {version} {} for {}", history.key, target.name());
    let mut text = format!("{}: {} since {}\n", visible(&name), target.state.words(), minute(&target.since));
    if let Some(problem) = &target.problem {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}\nNext: {}", visible(&problem.what), visible(&problem.next));
    }
    for attempt in &history.attempts {
        let _ = writeln!(
            text,
            "attempt {}: {} to {}, {}",
            attempt.number,
            minute(&attempt.began_at),
            minute(&attempt.ended_at),
            visible(&attempt.ended)
        );
    }
    text
}

/// Releases of which something is public.
pub(super) fn summaries(releases: &[PublicSummary]) -> String {
    table(&releases.iter().map(|release| vec![visible(&release.verdict)]).collect::<Vec<_>>())
}

/// What is public of a release.
pub(super) fn public(release: &PublicRelease) -> String {
    let rows: Vec<Vec<String>> = release.packages.iter().flat_map(rows).collect();
    format!("{}\n{}", visible(&release.verdict), table(&rows))
}

/// What is public of a target.
pub(super) fn public_target(release: &PublicRelease, package: &PublicPackage) -> String {
    let name = format!("{} {}", visible(&release.project.name), release.version);
    let rows: Vec<Vec<String>> = rows(package).into_iter().map(|row| [vec![name.clone()], row].concat()).collect();
    format!("{}{}\n", table(&rows), package.file.digest)
}

fn rows(package: &PublicPackage) -> Vec<Vec<String>> {
    let row = |target: &slipway_core::api::PublicTarget| {
        vec![
            package.key.to_string(),
            visible(&target.name()),
            target.state.state().words().to_owned(),
            minute(&target.since),
        ]
    };
    package.targets.iter().map(row).collect()
}

fn minute(text: &str) -> String {
    Moment::parse(text).map_or_else(|| visible(text), |moment| moment.minute())
}

fn as_of(text: &str) -> String {
    format!("As of {}.", minute(text))
}

/// Rows in columns, two spaces apart. The last one is as long as it is.
fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate().take(row.len().saturating_sub(1)) {
            let length = cell.chars().count();
            match widths.get_mut(column) {
                Some(width) => *width = length.max(*width),
                None => widths.push(length),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let is_last = column + 1 == row.len();
            let width = if is_last { 0 } else { widths.get(column).copied().unwrap_or(0) };
            let _ = write!(text, "{cell:<width$}{}", if is_last { "\n" } else { "  " });
        }
    }
    text
}
