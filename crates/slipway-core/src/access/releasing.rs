//! Whether somebody who played a job may release with it. That GitLab let them play it is known by then.

use slipway_gitlab::{AccessLevel, Job};

use crate::config::Project;
use crate::secret::JobSession;

/// Who played a job, and in which environment. Signed in an ID token, or read from GitLab's API.
#[derive(Clone, Copy, Debug)]
pub struct Player<'a> {
    /// GitLab's id of the person.
    pub user_id: u64,
    /// Their user name, for messages alone.
    pub username: &'a str,
    /// Their role in the project; `None` when there is none, or when nobody has asked because no rule needs it.
    pub level: Option<AccessLevel>,
    /// Whether the job's environment is protected in GitLab.
    pub environment_protected: bool,
}

impl<'a> Player<'a> {
    /// Who played the job of a session, as GitLab's API shows it now; what the API does not show of a job is taken from what
    /// GitLab signed.
    pub fn of(session: &JobSession, job: &'a Job) -> Self {
        let user = job.user.as_ref();
        // The role and the environment were signed for the one who played it then.
        let is_same = user.is_some_and(|user| user.id == session.user_id);
        Self {
            user_id: user.map_or(0, |user| user.id),
            username: user.map_or("", |user| user.username.as_str()),
            level: session.user_level.filter(|_| is_same),
            environment_protected: session.environment_protected && is_same,
        }
    }
}

/// Why they may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MayNotRelease {
    /// The project names people, and this is none of them.
    #[error(
        "`{username}` is not among the people who may release here (`release_people` in slipway.toml); one of them must play the job"
    )]
    NotNamed {
        /// Who played it.
        username: String,
    },
    /// The project names roles.
    #[error(
        "`{username}` has the role {level} here, and {wanted} may release; somebody with that role must play the job"
    )]
    Level {
        /// Who played it.
        username: String,
        /// Their role, or that there is none.
        level: String,
        /// The roles that may.
        wanted: String,
    },
    /// The project wants a protected environment.
    #[error(
        "the job's environment is not protected in GitLab, and this project releases from protected ones alone; protect it, then play the job again"
    )]
    EnvironmentNotProtected,
}

/// Judges who played a job by the project's own restrictions. Every one of them must hold.
pub fn may_release(project: &Project, player: &Player<'_>) -> Result<(), MayNotRelease> {
    let username = || player.username.to_owned();
    if project.release_people.as_ref().is_some_and(|people| !people.contains(&player.user_id)) {
        return Err(MayNotRelease::NotNamed { username: username() });
    }
    if let Some(levels) = &project.release_levels
        && player.level.is_none_or(|level| !levels.contains(&level))
    {
        let level = player.level.map_or("none", AccessLevel::as_str).to_owned();
        let wanted: Vec<&str> = levels.iter().map(|level| level.as_str()).collect();
        return Err(MayNotRelease::Level { username: username(), level, wanted: wanted.join(" or ") });
    }
    if project.protected_environment && !player.environment_protected {
        return Err(MayNotRelease::EnvironmentNotProtected);
    }
    Ok(())
}
