//! `slipway release --dry-run`: what would be sent where, and what is in the way, without writing anything.

use std::collections::BTreeMap;

use slipway_core::amount::size;
use slipway_core::api::Package;
use slipway_core::release::TargetState;
use slipway_gitlab::JobStatus;

use crate::follow::words;
use crate::gates;
use crate::gitlab::ListedJob;
use crate::play::{Fate, fate};

/// What would become of a package.
pub(crate) struct Seen {
    /// A line for the package, and one for each of its targets.
    pub(crate) lines: Vec<String>,
    /// Why it would not be released.
    pub(crate) against: Vec<String>,
}

/// What would become of a package. `jobs` are those of its pipeline, where a token lets them be seen.
pub(crate) fn seen(package: &Package, jobs: Option<&Result<BTreeMap<String, ListedJob>, String>>) -> Seen {
    let Package { key, file, targets, release_job, .. } = package;
    let mut lines = Vec::new();
    let mut against = Vec::new();
    lines.push(match file {
        Some(file) => format!("{key}  {}  {}  {}", file.name(), size(file.size), file.digest),
        None => format!("{key}  nothing is declared yet"),
    });
    for target in targets {
        let fate = match target.state {
            TargetState::Staged | TargetState::Failed => "would be copied",
            TargetState::Approved | TargetState::Releasing => "is on its way",
            TargetState::Released => "is there already",
            TargetState::Skipped => "is left out",
            TargetState::Withdrawn => "was taken back, and is not released again",
            _ => "cannot be released",
        };
        let place = format!("{} {}", target.public.url, target.public.repository);
        lines.push(format!("  {}  {place}  {}: {fate}", target.name(), words(target)));
    }
    let fate = fate(package);
    if let Fate::Refuse(why) = &fate {
        against.push(why.clone());
    }
    if fate == Fate::Play {
        against.extend(gates::closed(package));
        match jobs {
            None => lines.push(format!("  by the job `{release_job}`")),
            Some(Err(why)) => against.push(why.clone()),
            Some(Ok(jobs)) => match jobs.get(release_job) {
                None => against.push(format!("pipeline {} has no job `{release_job}`", package.pipeline_id)),
                Some(job) => {
                    lines.push(format!("  by the job {} `{release_job}`, which is {}", job.id, job.status));
                    if matches!(job.status, JobStatus::Created | JobStatus::Skipped) {
                        against.push(format!("its job {} cannot be played yet: it is `{}`", job.id, job.status));
                    }
                }
            },
        }
    }
    lines.extend(against.iter().map(|why| format!("  in the way: {why}")));
    Seen { lines, against }
}
