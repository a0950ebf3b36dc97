//! What a package is called: its file name, its kind, the distro version that it is for.
//!
//! These are the words of everybody who ships packages, whatever server serves them: every crate that speaks to a package
//! server builds on them, and so does the core, which knows no server's own words.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod distro;
mod filename;
mod order;

pub use distro::{Distro, InvalidDistro};
pub use filename::{Filename, InvalidFilename, InvalidPackageKind, PackageKind};
pub use order::{PackageVersion, Series};
