//! What Slipway has attested of a release, checked: signed by a known key, and said of exactly this target and these bytes.
//!
//! With `--key` nothing that the edge says of itself counts, and a released target without an attestation is a difference.
//! Without it the edge's own published key is used, which proves that nothing was changed on the way, and no more.

use serde::Serialize;
use slipway_core::api::{Package, Release, Target};
use slipway_core::attestation::{self, Envelope, Expected};
use slipway_core::release::TargetState;
use slipway_core::signing::{PublicKey, TrustedKey};
use slipway_webcrypto::WebCrypto;

use crate::edge::Edge;
use crate::exit::{Exit, Failure};
use crate::host;
use crate::verify::Difference;

/// Whose keys attestations are checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keys {
    /// Those of a file that the caller has kept.
    Given,
    /// Those that the edge publishes.
    Published,
    /// There are none, so nothing was checked.
    None,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Attestations {
    /// Whose keys they were checked with.
    pub(crate) keys: Keys,
    /// How many are good.
    pub(crate) good: usize,
    /// What is released, and not attested.
    pub(crate) missing: Vec<String>,
}

impl Attestations {
    /// What is said of it, a sentence a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.keys {
            Keys::None => {
                lines.push("attestations were NOT checked: give the key of Slipway with `--key FILE`".to_owned());
                return lines;
            }
            Keys::Published => lines.push(format!(
                "{} attestations are signed by the key that Slipway publishes; keep that key and give it with `--key FILE`, so that \
                 nobody's word is taken for it",
                self.good
            )),
            Keys::Given => lines.push(format!("{} attestations are signed by the given key", self.good)),
        }
        lines.extend(self.missing.iter().map(|target| format!("not attested: {target}")));
        lines
    }
}

/// The keys of a file.
pub(crate) async fn keys(path: &str, doing: &str) -> Result<Vec<PublicKey>, Failure> {
    let misused = |why: String| Failure::new(Exit::Misused, doing, [format!("cannot use the key `{path}`: {why}")]);
    let text = host::read_text(path).await.map_err(misused)?;
    let keys = TrustedKey::all(&text).map_err(|error| misused(error.to_string()))?;
    Ok(keys.into_iter().map(|trusted| trusted.key).collect())
}

/// Checks the attestation of every released target. `given`: the keys of the caller.
pub(crate) async fn check(
    release: &Release,
    edge: Option<&Edge<'_>>,
    given: Option<Vec<PublicKey>>,
    doing: &str,
) -> Result<(Attestations, Vec<Difference>), Failure> {
    let (whose, keys) = match (given, edge) {
        (Some(keys), _) => (Keys::Given, keys),
        (None, Some(edge)) => {
            let told = edge.signing_keys().await.map_err(|error| error.failure(doing))?;
            let keys: Vec<PublicKey> = told.keys.into_iter().map(|key| key.key).collect();
            (if keys.is_empty() { Keys::None } else { Keys::Published }, keys)
        }
        (None, None) => (Keys::None, Vec::new()),
    };
    let mut told = Attestations { keys: whose, good: 0, missing: Vec::new() };
    let mut differences = Vec::new();
    if whose == Keys::None {
        return Ok((told, differences));
    }
    let targets =
        release.packages.iter().flat_map(|package| package.targets.iter().map(move |target| (package, target)));
    for (package, target) in targets.filter(|(_, target)| target.state == TargetState::Released) {
        let wrong = |what: String| Difference::of(package, target, what);
        let Some(url) = &target.attestation else {
            told.missing.push(format!("{}  {}", package.key, target.name()));
            if whose == Keys::Given {
                differences.push(wrong("it is released, and not attested".to_owned()));
            }
            continue;
        };
        let envelope = match edge {
            Some(edge) => edge.attestation(&package.key, target).await,
            None => crate::edge::attestation_at(url).await,
        };
        let envelope = envelope.map_err(|error| error.failure(doing))?;
        let said = said(release, package, target, &envelope, &keys).await;
        if said.is_empty() {
            told.good += 1;
        }
        differences.extend(said.into_iter().map(|what| wrong(format!("its attestation is not good: {what}"))));
    }
    Ok((told, differences))
}

/// What is wrong with the attestation of a target.
async fn said(
    release: &Release,
    package: &Package,
    target: &Target,
    envelope: &Envelope,
    keys: &[PublicKey],
) -> Vec<String> {
    let statement = match attestation::checked(envelope, keys, &WebCrypto).await {
        Ok(statement) => statement,
        Err(error) => return vec![error.to_string()],
    };
    let Some(file) = &package.file else { return vec!["the release names no bytes".to_owned()] };
    let repository = format!("{}/{}", target.public.url, target.public.repository);
    let expected = Expected {
        project_id: release.project.id,
        version: &release.version,
        key: &package.key,
        digest: &file.digest,
        repository: &repository,
        distro: Some(target.distro.as_str()).filter(|distro| !distro.is_empty()),
        tag: target.tag.as_deref(),
    };
    attestation::differences(&statement, &expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_checked_is_said_and_what_is_missing_is_named() {
        let told = |keys| Attestations { keys, good: 2, missing: vec!["deb  el/9".to_owned()] }.lines().join("\n");
        assert!(told(Keys::None).contains("NOT checked"));
        assert!(told(Keys::Published).contains("the key that Slipway publishes"));
        for keys in [Keys::Published, Keys::Given] {
            assert!(told(keys).contains("2 attestations") && told(keys).ends_with("not attested: deb  el/9"));
        }
    }
}
