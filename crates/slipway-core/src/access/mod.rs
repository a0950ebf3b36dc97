//! Who may do what. Default deny: what no rule here allows is refused, and a route without a row in [`ROUTES`] is not there.
//!
//! [`admit`] judges the ID token of a job when it asks for a session. [`segments`] reads a path, [`asked`] says what a request needs, [`may`] whether
//! a [`Caller`] has it in a project. [`may_release`] judges who played a job, for both ways in which that becomes known.
//!
//! What a job may do ends with the job: [`must_run`] says for what GitLab is asked, [`still_runs`] judges its answer.
//!
//! [`Roles`] says how long a person's role is believed.
//!
//! A [`Keyring`] says which of the issuer's keys may be used.
//!
//! What a browser shows and keeps is in [`browser`].
//!
//! Absent on purpose: proofs themselves. Signatures, sealed sessions and the operator's credential are checked before.

mod address;
mod admission;
pub mod browser;
mod caller;
mod keyring;
mod pace;
mod releasing;
mod rights;
mod roles;
mod running;
mod strangers;

pub use address::segments;
pub use admission::{Admission, Admitted, NotAdmitted, admit};
pub use caller::{Caller, DeployerSession, PersonSession};
pub use keyring::{Found, Keyring};
pub use pace::Pace;
pub use releasing::{MayNotRelease, Player, may_release};
pub use rights::{Asked, Denied, ROUTES, Right, Row, asked, may, measures, route, sight, speaks_for};
pub use roles::{For, Role, Roles};
pub use running::{Ended, Look, Running, judge as still_runs, must_run};
pub use strangers::Strangers;

#[cfg(test)]
mod tests;
