//! APT: `InRelease` holds the SHA-256 of every `Packages` file, and `Packages` holds the SHA-256 of every package.

mod packages;
mod release;
#[cfg(test)]
mod tests;

pub use packages::{InvalidPackages, PackagesScan};
pub use release::{InvalidRelease, Release};

pub(crate) use release::FILES;
