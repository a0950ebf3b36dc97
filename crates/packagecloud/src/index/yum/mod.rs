//! YUM: `repomd.xml` holds the SHA-256 of the `primary` file, and `primary` holds the SHA-256 of every package.

mod primary;
mod repomd;
mod xml;

pub use primary::{InvalidPrimary, PrimaryScan};
pub use repomd::{InvalidRepomd, Repomd};

/// The folders below the distro version's that are read for packages of an architecture, the first that exists.
///
/// They are named as `dnf` names `$basearch`. Packages for no architecture are in all of them.
pub(crate) fn folders(architecture: &str) -> Vec<&str> {
    match architecture {
        "noarch" => vec!["x86_64", "aarch64"],
        "i386" | "i486" | "i586" | "i686" | "athlon" | "geode" => vec!["i386"],
        "amd64" | "ia32e" => vec!["x86_64"],
        "armv7hl" | "armv7hnl" | "armv8hl" => vec!["armhfp"],
        "armv5tel" | "armv5tejl" | "armv5tl" | "armv6l" | "armv7l" | "armv8l" => vec!["arm"],
        other => vec![other],
    }
}
