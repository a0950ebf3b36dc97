//! What gives way to other bytes in staging is asked for in other projects first: a job deletes it, and it may be theirs, too.
//!
//! The answer is a loan, as before a deletion by Slipway itself ([`crate::retention`]): who can do without a file writes that
//! down, and for a quarter of an hour nobody there is told that the file stays.

use futures_util::future::join_all;
use slipway_core::config::{Config, Project};
use slipway_core::release::Version;
use slipway_core::retention::Consent;
use slipway_core::time::Timestamp;
use slipway_ledger::{Declared, LedgerError, Record, Sql, StagedObject};

use crate::denied::{Denied, Unanswered};
use crate::port::Silent;

/// Asks every other project for the files that a job will be told to delete when these are declared in place of others. `ask`
/// has one lend a file. An error: one of them needs it, or does not answer.
pub async fn ask_others<S: Sql>(
    record: &Record<S>,
    ask: impl AsyncFn(u64, &StagedObject) -> Result<Consent, Silent>,
    (config, project): (&Config, &Project),
    version: &Version,
    declared: &[Declared<'_>],
    now: Timestamp,
) -> Result<(), Unanswered> {
    for Declared { key, file, .. } in declared.iter().filter(|one| one.replace) {
        for object in record.would_give_way(version, key, file, now)? {
            let others = config.projects.iter().filter(|other| other.id != project.id);
            let answers = others.map(async |other| (&other.name, ask(other.id, &object).await));
            let answers = join_all(answers).await;
            let (name, repository) = (&object.cargo, &object.staging.repository);
            let needs = |why: String| LedgerError::StillNeeded { version: version.clone(), key: (*key).clone(), why };
            for (other, answer) in &answers {
                match answer {
                    Ok(Consent::Yes) | Err(_) => {}
                    Ok(Consent::No) => {
                        return Err(needs(format!("project {other} needs `{name}` of {repository}, too")).into());
                    }
                    Ok(Consent::NotYet) => {
                        let what = format!("project {other} has `{name}` of {repository}, too, and keeps it for now");
                        return Err(needs(what).into());
                    }
                }
            }
            if let Some((other, Err(silent))) = answers.iter().find(|(_, answer)| answer.is_err()) {
                let what = format!(
                    "Whether project {other} needs `{name}` of {repository} is not known, so nothing gives way: {silent}. Try again."
                );
                return Err(Denied::new(503, "project-silent", what).into());
            }
        }
    }
    Ok(())
}
