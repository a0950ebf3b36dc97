//! The list of what is public says of each release what the release itself says.

use std::collections::BTreeSet;

use slipway_core::api::{PublicState, PublicSummary};
use slipway_core::sight::public;

use super::*;

const STATES: usize = TargetState::ALL.len();

/// Releases of two packages with two targets each, in every pair of states of which something depends.
fn filled() -> Record<Database> {
    let record = record();
    let insert = |text: &str| record.sql().query(text, &[]).expect(text);
    let mut number: i64 = 0;
    for one in TargetState::ALL {
        for other in TargetState::ALL {
            number += 1;
            let version = format!("1.{number}.0");
            insert(&format!(
                "INSERT INTO releases (version, created_at, sequence, policy) VALUES ('{version}', {number}, 1, '')"
            ));
            for (key, states, at) in [("a", [one, other], 1_000 * number), ("b", [other, other], 500 * number + 7)] {
                insert(&format!(
                    "INSERT INTO packages (version, key, pipeline_id, release_job, environment, staging_place, staging_repository,
                        filename, digest, size)
                     VALUES ('{version}', '{key}', 7, 'release', 'release', 'depot', 'harbour-ci/pre-release',
                        'tug_1_amd64.deb', '{}', 3)",
                    Digest::of(b"deb")
                ));
                for (distro, state) in ["ubuntu/jammy", "ubuntu/noble"].into_iter().zip(states) {
                    let since = at + i64::try_from(distro.len() + state.code().len()).expect("a small number");
                    insert(&format!(
                        "INSERT INTO targets (version, key, distro, public_place, public_repository, state, since)
                         VALUES ('{version}', '{key}', '{distro}', 'depot', 'harbour/stable', '{}', {since})",
                        state.code()
                    ));
                }
            }
        }
    }
    record
}

/// What a release says of itself to everybody.
fn said(record: &Record<Database>, version: &Version) -> Option<PublicSummary> {
    let config = Config::parse(CONFIG).expect("a configuration");
    let project = config.project("tug").expect("the project");
    let release = record.release(&config, project, version, &crate::record::Sent::default(), NOW).expect("rows");
    let release = public(&release.expect("a release"))?;
    let is_out = |state: &PublicState| *state == PublicState::Released;
    let out = release.packages.iter().filter(|package| package.targets.iter().any(|target| is_out(&target.state)));
    let packages = u32::try_from(out.count()).expect("a small number");
    Some(PublicSummary { version: release.version, verdict: release.verdict, packages, at: release.at })
}

#[test]
fn the_list_of_what_is_public_has_each_release_of_which_something_is_and_no_other() {
    let record = filled();
    let listed = record.public_releases("tug").expect("rows");
    let versions = record.versions().expect("rows");
    assert_eq!(versions.len(), STATES * STATES);
    let mut expected: Vec<PublicSummary> = versions.iter().filter_map(|version| said(&record, version)).collect();
    expected.sort_by(|one, other| (&other.at, other.version.as_str()).cmp(&(&one.at, one.version.as_str())));
    assert_eq!(listed, expected);
    // Of two states of eleven something is seen, in the one place or in the other.
    assert_eq!(listed.len(), STATES * STATES - (STATES - 2) * (STATES - 2));
}

#[test]
fn every_version_of_which_something_is_public_is_known_however_many_there_are_and_no_other() {
    let record = filled();
    let versions = record.versions().expect("rows");
    let expected: BTreeSet<Version> = versions.into_iter().filter(|version| said(&record, version).is_some()).collect();
    assert_eq!(record.public_versions().expect("rows"), expected);
    // More than the list has.
    for number in 0..300 {
        for (text, value) in [
            ("INSERT INTO releases (version, created_at, sequence, policy)", format!("'9.0.{number}', 1, 1, ''")),
            (
                "INSERT INTO packages (version, key, pipeline_id, release_job, environment, staging_place, staging_repository,
                    filename, digest, size)",
                format!("'9.0.{number}', 'a', 7, 'release', 'release', 'depot', 'x', 'tug_1_amd64.deb', '{}', 3", Digest::of(b"deb")),
            ),
            (
                "INSERT INTO targets (version, key, distro, public_place, public_repository, state, since)",
                format!("'9.0.{number}', 'a', 'ubuntu/jammy', 'depot', 'harbour/stable', 'released', 1"),
            ),
        ] {
            record.sql().query(&format!("{text} VALUES ({value})"), &[]).expect(text);
        }
    }
    assert_eq!(record.public_versions().expect("rows").len(), expected.len() + 300);
}

#[test]
fn what_is_not_public_changes_nothing_in_the_list_of_what_is() {
    let record = filled();
    let before = record.public_releases("tug").expect("rows");
    for change in [
        "UPDATE releases SET sequence = sequence + 3, created_at = 1000000 - created_at",
        "UPDATE targets SET since = since + 100000, state = 'failed', problem = NULL WHERE state NOT IN ('released', 'withdrawn')",
        "UPDATE packages SET pipeline_id = 9, release_job = 'another'",
        "DELETE FROM targets WHERE state = 'failed'",
    ] {
        record.sql().query(change, &[]).expect(change);
        assert_eq!(record.public_releases("tug").expect("rows"), before, "{change}");
    }
}
