//! The depot from outside: over HTTP, with real debs and rpms, with the real apt and dnf, and killed.

mod api;
mod apt;
mod crash;
mod downloads;
mod drills;
mod faults;
mod indexes;
mod support;
mod yum;
