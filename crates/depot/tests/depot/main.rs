//! The depot from outside: over HTTP, with real debs, with the real apt, and killed.

mod api;
mod apt;
mod crash;
mod downloads;
mod drills;
mod support;
