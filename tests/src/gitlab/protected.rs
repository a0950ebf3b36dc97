//! Protected environments: who may run a job that deploys there. GitLab has them with a licence alone.
//!
//! Whoever is not allowed cannot play such a job, and one that begins by itself as theirs fails before a runner sees it.
//!
//! Absent on purpose: approvals of deployments, and the protection of a whole tier by a group.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::world::{User, World};

/// An environment of a project, and who may deploy to it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Protected {
    pub(super) project_id: u64,
    /// The environment's whole name.
    pub(super) name: String,
    pub(super) deploy_access_levels: Vec<Deployers>,
}

/// One of the rules by which somebody may deploy. One that fits is enough.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deployers {
    /// One person.
    UserId(u64),
    /// Everybody with this role in the project, or a higher one.
    AccessLevel(u8),
    /// The members of a group.
    GroupId(u64),
}

impl Protected {
    fn allows(&self, user: &User) -> bool {
        self.deploy_access_levels.iter().any(|rule| match rule {
            Deployers::UserId(id) => user.id == *id,
            Deployers::AccessLevel(level) => user.access_number(self.project_id).is_some_and(|own| own >= *level),
            Deployers::GroupId(id) => user.groups.contains(id),
        })
    }

    /// As `GET /projects/:id/protected_environments/:name` shows it.
    pub(super) fn shown(&self, world: &World) -> Value {
        let rules = self.deploy_access_levels.iter().zip(1..).map(|(rule, id)| {
            let (user, level, group) = match *rule {
                Deployers::UserId(id) => (Some(id), None, None),
                Deployers::AccessLevel(level) => (None, Some(level), None),
                Deployers::GroupId(id) => (None, None, Some(id)),
            };
            let described = match (user, group, level) {
                (Some(id), ..) => world.users.get(&id).map_or_else(|| "Unknown".to_owned(), |user| user.name.clone()),
                (_, Some(id), _) => format!("Group {id}"),
                (.., Some(50)) => "Owners".to_owned(),
                (.., Some(40)) => "Maintainers".to_owned(),
                _ => "Developers + Maintainers".to_owned(),
            };
            json!({
                "id": id,
                "access_level": level,
                "access_level_description": described,
                "user_id": user,
                "group_id": group,
                "group_inheritance_type": 0,
            })
        });
        json!({
            "name": self.name,
            "deploy_access_levels": rules.collect::<Vec<_>>(),
            "required_approval_count": 0,
            "approval_rules": [],
        })
    }
}

impl World {
    /// Whether an environment is protected.
    pub(super) fn is_protected(&self, project_id: u64, environment: &str) -> bool {
        self.protected.contains_key(&(project_id, environment.to_owned()))
    }

    /// Whether an environment is protected from a person.
    pub(super) fn is_protected_from(&self, project_id: u64, environment: &str, user_id: u64) -> bool {
        let rules = self.protected.get(&(project_id, environment.to_owned()));
        rules.is_some_and(|rules| !self.users.get(&user_id).is_some_and(|user| rules.allows(user)))
    }
}
