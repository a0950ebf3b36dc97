//! The processes of a Slipway on loopback: depot, the GitLab stand-in, workerd with the Worker, and two registries for
//! images where one is installed.
//!
//! `cargo xtask dev` and `demo` start one and keep it; end-to-end tests start their own, kill single processes with
//! SIGKILL and start them again on the same ports and folders. Whatever happens to the program that started them, its
//! processes end with it. Nothing is built here: a missing artefact is an error that names the command.
#![allow(clippy::disallowed_methods, reason = "a native tool reads its own clock, to know when to give up waiting")]

pub mod apt;
pub mod deb;
pub mod dnf;
mod edge;
pub mod http;
pub mod image;
mod places;
mod ports;
mod process;
pub mod registry;
pub mod rpm;
mod secrets;
mod stack;

pub use edge::compatibility_date;
pub use places::Places;
pub use ports::{PORT_NAMES, Port, Ports};
pub use process::Process;
pub use secrets::{Secrets, random_hex, write_private};
pub use stack::{HandedOut, Part, Project, RegistryOfStack, Settings, Stack};

use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Looks again and again, a few times a second, until there is an answer; gives up after `limit`.
///
/// `look` returns `Ok(None)` for "not yet"; an `Err` ends the wait at once.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().with_context(|| format!("while waiting until {what}"))? {
            return Ok(found);
        }
        anyhow::ensure!(Instant::now() < end, "waited {} s in vain until {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(40));
    }
}
