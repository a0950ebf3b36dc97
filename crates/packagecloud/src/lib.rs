//! packagecloud: its API's endpoints and the APT indexes it serves.
//!
//! Each endpoint is a value that builds one request and reads one answer (<https://packagecloud.io/docs/api>); three
//! short workflows stand above them: [`find()`] ("is this file there, and which bytes are it?"), [`locate`] ("where are
//! its bytes?") and [`apt::served`] ("what does the public index serve?").
//!
//! packagecloud's answers carry secrets: download addresses hold read tokens and signatures. The types here keep none
//! of them, except [`SignedUrl`], which cannot be printed.
//!
//! Absent on purpose: promote, since it is by file name and moves whatever bytes are there; retries and waiting, which
//! are their callers' decisions; and the check of the APT index's signature, which is the installing machine's.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod account;
mod answer;
pub mod apt;
mod delete;
mod distributions;
mod distro;
mod download;
mod filename;
mod find;
mod package;
mod paging;
mod push;
mod repository;
mod search;
mod show;

#[cfg(test)]
mod fake;

pub use account::Account;
pub use delete::{Delete, Deleted, delete};
pub use distributions::{Distributions, ListDistributions};
pub use distro::{Distro, InvalidDistro};
pub use download::{Download, SignedUrl, locate};
pub use filename::{Filename, InvalidFilename, PackageKind};
pub use find::{Found, find};
pub use package::{ApiPath, InvalidApiPath, PackageRecord};
pub use push::{Boundary, Push, Pushed, Upload};
pub use repository::{InvalidRepository, Repository};
pub use search::{PAGES_MAX, PER_PAGE, Search, SearchPage, search};
pub use show::Show;
