//! The APT index that a repository serves: the proof that a package is public.
//!
//! packagecloud says of a package that it is "indexed"; a machine that installs it reads the index itself, and so does
//! Slipway. The index is a chain: `InRelease` holds the SHA-256 of every `Packages` file, and `Packages` holds the
//! SHA-256 of every package. [`served`] follows it link by link. Files of any size pass through piece by piece.
//!
//! Absent on purpose: the signature on `InRelease`. The chain proves that the index is whole, not who made it.

mod index;
mod packages;
mod release;
mod served;

pub use index::{Compression, IndexReader};
pub use packages::{InvalidPackages, PackagesScan};
pub use release::{File, InvalidRelease, Release};
pub use served::{Served, Suite, served};
