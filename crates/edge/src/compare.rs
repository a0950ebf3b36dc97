//! What a record says of its targets, beside what the repositories have: for an operator who has imported it.
//!
//! What happened after an export, the imported record does not know. Nothing is changed here: what an operator sees decides
//! whether the project is started, and the looks that follow then write down what they find.

use futures_util::stream::{self, StreamExt as _};
use slipway_core::api::{ComparedTarget, Comparison};
use slipway_core::cargo::staged_under;
use slipway_core::inventory::Seen;
use slipway_core::release::TargetState;
use slipway_core::trouble::Trouble;
use slipway_ledger::{DeclaredTarget, LedgerError, Record, Sql};
use slipway_wire::Digest;

use crate::port::{ProjectHost, Silent};
use crate::project::AT_ONCE;

/// How many targets are compared in one request.
pub const PAGE: u64 = 100;

/// Compares a page of targets, from the `first` on. A page in which something is unknown does not count: it is asked for
/// again.
pub async fn compare<S: Sql>(
    record: &Record<S>,
    host: &impl ProjectHost,
    first: u64,
) -> Result<Comparison, LedgerError> {
    let page = record.declared_targets(first, PAGE)?;
    let count = u64::try_from(page.len()).unwrap_or(PAGE);
    let looks = page.iter().map(async |target| {
        let DeclaredTarget { staging, public, distro, filename, digest, .. } = target;
        let staged = host.find(staging, &staged_under(distro, digest), filename).await;
        let public = host.find(public, distro, filename).await;
        compared(target, staged, public)
    });
    let targets: Vec<ComparedTarget> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let is_known = targets.iter().all(|target| target.why.is_none());
    let next = if !is_known {
        Some(first)
    } else if count < PAGE {
        None
    } else {
        Some(first.saturating_add(count))
    };
    let is_compared = if is_known { record.compared(first, next)? } else { false };
    Ok(Comparison { targets, next, is_compared })
}

type Look = Result<Result<Seen, Trouble>, Silent>;

fn compared(target: &DeclaredTarget, staged: Look, public: Look) -> ComparedTarget {
    let mut whys = Vec::new();
    let mut word = |look: Look| match look {
        Ok(Ok(seen)) => in_a_word(&seen, &target.digest),
        Ok(Err(trouble)) => {
            whys.push(trouble.to_string());
            "unknown"
        }
        Err(silent) => {
            whys.push(silent.to_string());
            "unknown"
        }
    };
    let (staging, public) = (word(staged), word(public));
    ComparedTarget {
        version: target.version.clone(),
        key: target.key.clone(),
        target: target.distro.clone(),
        recorded: target.state,
        staging: staging.to_owned(),
        public: public.to_owned(),
        agrees: agrees(target.state, staging, public),
        why: (!whys.is_empty()).then(|| whys.join("; ")),
        ended: target.ended.iter().map(|ended| ended.word().to_owned()).collect(),
    }
}

fn in_a_word(seen: &Seen, declared: &Digest) -> &'static str {
    match seen {
        Seen::Nothing => "nothing",
        Seen::WithoutDigest => "no_digest",
        Seen::Digest(found) if found == declared => "declared",
        Seen::Digest(_) => "other",
    }
}

/// Whether what is seen is what a state says.
fn agrees(state: TargetState, staging: &str, public: &str) -> bool {
    use TargetState as S;
    match state {
        S::Released => public == "declared",
        S::Staged | S::Approved | S::Releasing => staging == "declared" && public == "nothing",
        S::Failed => public == "nothing",
        S::Conflict => public == "other",
        S::Missing | S::Expected => staging == "nothing" && public == "nothing",
        S::Withdrawn | S::Expired => public != "declared",
        S::Skipped => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_released_after_the_export_does_not_agree() {
        use TargetState as S;
        for (state, staging, public, expected) in [
            (S::Staged, "declared", "nothing", true),
            (S::Staged, "declared", "declared", false),
            (S::Staged, "nothing", "nothing", false),
            (S::Approved, "declared", "declared", false),
            (S::Released, "nothing", "declared", true),
            (S::Released, "declared", "nothing", false),
            (S::Released, "declared", "other", false),
            (S::Withdrawn, "declared", "declared", false),
            (S::Withdrawn, "declared", "nothing", true),
            (S::Released, "declared", "unknown", false),
        ] {
            assert_eq!(agrees(state, staging, public), expected, "{state:?} {staging} {public}");
        }
    }
}
