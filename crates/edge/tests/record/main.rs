//! The record of a project, driven over a GitLab that answers as a test wants: what is asked again right before an act,
//! what jobs that ask are answered, who may open a gate, what becomes of webhooks' hints, which lost webhooks are found,
//! who is told, when the audit is signed, what is attested, and what an imported record waits for.

mod acting;
mod asking;
mod attesting;
mod changing;
mod finding;
mod heads;
mod hints;
mod host;
mod importing;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
mod telling;
