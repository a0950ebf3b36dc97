//! Whether a job gets a session.

use slipway_gitlab::id_token::{AGE_S_MAX, Claims, Expected, Refusal, check};

use crate::config::{Config, Deployer, PipelineSource, Project};
use crate::time::Timestamp;

/// A job that may have a session.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// As what.
    pub who: Admitted<'a>,
    /// `false`: only the token's age does not hold. A job whose upload took long may show the same token again; it gets no
    /// session that it did not have.
    pub is_fresh: bool,
}

/// What a job is to Slipway.
#[derive(Clone, Copy, Debug)]
pub enum Admitted<'a> {
    /// A job of a project that releases.
    Project(&'a Project),
    /// A job of a project that deploys.
    Deployer(&'a Deployer),
}

/// Why a job gets no session. The sentence is for the one who holds the token, so it says what the token says, and nothing
/// of what is configured for others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// Nobody has registered it.
    #[error("project {0} is not in slipway.toml")]
    UnknownProject(u64),
    /// A rule of every token.
    #[error(transparent)]
    Claims(#[from] Refusal),
    /// The pipeline was started in a way that the project does not allow.
    #[error(
        "the job's pipeline was started by `{source_word}`, and its project allows {allowed}: see `pipeline_sources` in slipway.toml"
    )]
    PipelineSource {
        /// GitLab's word.
        source_word: String,
        /// The words that are allowed.
        allowed: String,
    },
    /// The branch or tag is not one that the project allows.
    #[error("the job runs for `{ref_name}`, which is none of its project's `refs` in slipway.toml")]
    Ref {
        /// The branch or tag.
        ref_name: String,
    },
}

/// Judges the claims of a token whose signature holds.
pub fn admit<'a>(config: &'a Config, claims: &Claims, now: Timestamp) -> Result<Admission<'a>, NotAdmitted> {
    let project = config.project_of_id(claims.project_id).map(Admitted::Project);
    let deployer = || config.deployers.iter().find(|deployer| deployer.id == claims.project_id).map(Admitted::Deployer);
    let who = project.or_else(deployer).ok_or(NotAdmitted::UnknownProject(claims.project_id))?;
    let (project_id, namespace_id) = match who {
        Admitted::Project(project) => (project.id, project.namespace_id),
        Admitted::Deployer(deployer) => (deployer.id, deployer.namespace_id),
    };
    let expected =
        Expected { issuer: config.gitlab.url.as_str(), audience: config.edge.audience(), project_id, namespace_id };
    let now_s = u64::try_from(now.unix_seconds()).unwrap_or(0);
    let is_fresh = match check(claims, &expected, now_s) {
        Ok(()) => true,
        Err(Refusal::TooOld { .. }) => {
            // Everything else must hold as it did when the token was fresh; that it has not expired was seen above.
            check(claims, &expected, claims.iat.saturating_add(AGE_S_MAX))?;
            false
        }
        Err(refusal) => return Err(refusal.into()),
    };
    match who {
        Admitted::Project(project) => {
            let allowed = &project.pipeline_sources;
            check_source(claims, allowed)?;
            if !project.refs.iter().any(|glob| glob.fits(&claims.ref_name)) {
                return Err(NotAdmitted::Ref { ref_name: claims.ref_name.clone() });
            }
        }
        // A pipeline that deploys is often started by another; it only says what runs where.
        Admitted::Deployer(_) => check_source(claims, &PipelineSource::ALL)?,
    }
    Ok(Admission { who, is_fresh })
}

fn check_source(claims: &Claims, allowed: &[PipelineSource]) -> Result<(), NotAdmitted> {
    // Compared as text: a word that this version does not know is none of the allowed ones.
    if allowed.iter().any(|source| source.as_str() == claims.pipeline_source) {
        return Ok(());
    }
    let words: Vec<&str> = allowed.iter().map(|source| source.as_str()).collect();
    Err(NotAdmitted::PipelineSource { source_word: claims.pipeline_source.clone(), allowed: words.join(", ") })
}
