//! What a release has, beside what is public of an earlier one; of one package also what it depends on, which its package
//! servers are asked for.

use slipway_core::api::{Against, Depends, FileFact};
use slipway_core::config::Project;
use slipway_core::release::{Key, Version};
use slipway_ledger::{LedgerError, Record, Sql, Whereabouts};

use crate::port::ProjectHost;

/// A release beside the public. With a key, that package alone, and both servers are asked about it. `None` when nobody has
/// planned the release.
pub async fn against<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    project: &Project,
    version: &Version,
    key: Option<&Key>,
) -> Result<Option<Against>, LedgerError> {
    let Some(mut against) = record.against(project, version, key, host.now())? else { return Ok(None) };
    if key.is_none() {
        return Ok(Some(against));
    }
    for row in &mut against.rows {
        let mut whys = Vec::new();
        for (file, is_public) in [(&mut row.staged, false), (&mut row.public, true)] {
            let Some(file) = file else { continue };
            match record.whereabouts(&file.version, &row.key, is_public)? {
                Some(at) => match depends(host, &at).await {
                    Ok(depends) => file.depends = depends,
                    Err(why) => whys.push(why),
                },
                None => whys.push(nowhere(file, is_public)),
            }
        }
        row.why = (!whys.is_empty()).then(|| format!("{}.", whys.join("; ")));
    }
    Ok(Some(against))
}

fn nowhere(file: &FileFact, is_public: bool) -> String {
    format!("{} is not in {} now", file.name, if is_public { "the public repository" } else { "staging" })
}

async fn depends(host: &impl ProjectHost, at: &Whereabouts) -> Result<Option<Vec<Depends>>, String> {
    let store = host.open(&at.site)?;
    let target = at.target.parse().map_err(|error| format!("{error}"))?;
    store.depends(host, &target, &at.cargo, &at.digest).await.map_err(|trouble| trouble.to_string())
}
