//! packagecloud: its API's endpoints and the APT and YUM indexes it serves.
//!
//! Each endpoint is a value that builds one request and reads one answer (<https://packagecloud.io/docs/api>); three
//! short workflows stand above them: [`find_all`] ("are these files there, and which bytes are they?"), [`locate`] ("where
//! are a file's bytes?") and [`read_index`] ("what does the public index serve?").
//!
//! packagecloud's answers carry secrets: download addresses hold read tokens and signatures. The types here keep none
//! of them, except [`SignedUrl`], which cannot be printed.
//!
//! Absent on purpose: retries and waiting, which are their callers' decisions, and above all the repetition of a
//! [`Promote`], which moves whatever bytes are there; and the check of an index's signature, which is the installing
//! machine's.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod account;
mod answer;
mod delete;
mod distributions;
mod download;
mod find;
pub mod index;
mod package;
mod paging;
mod promote;
mod push;
mod question;
mod repositories;
mod repository;
mod search;
mod show;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod threats;

pub use account::Account;
pub use delete::{Delete, Deleted, delete};
pub use distributions::{Distributions, ListDistributions};
pub use download::{Download, SignedUrl, locate};
pub use find::{Found, described, find, find_all, uploaded_at};
pub use index::{Index, Mark, Reading, read_index};
pub use package::{ApiPath, Dependencies, InvalidApiPath, PackageRecord};
pub use promote::{Promote, Promoted};
pub use push::{Boundary, Push, Pushed, Upload};
pub use repositories::ListRepositories;
pub use repository::{InvalidRepository, Repository};
pub use search::{PAGES_MAX, PER_PAGE, Search, SearchPage};
pub use show::Show;
pub use slipway_package::{Distro, Filename, InvalidDistro, InvalidFilename, InvalidPackageKind, PackageKind};
