//! The reader of public indexes as a module for Node, to be measured.
//!
//! It has what the edge has of it: the same crate, built with the same profile, fed from JavaScript in pieces.

use std::collections::BTreeSet;

use slipway_packagecloud::index::{Compression, File, IndexReader};
use slipway_packagecloud::{Filename, PackageKind};
use wasm_bindgen::prelude::wasm_bindgen;

/// One index on its way in.
#[wasm_bindgen]
pub struct Reader(IndexReader);

#[wasm_bindgen]
impl Reader {
    /// Looks for the wanted names, a line each, in an index of this kind (`deb`, `rpm`), packing (`gz`, `xz`, `zst`) and
    /// these digests and sizes, packed and open.
    #[wasm_bindgen(constructor)]
    pub fn new(
        kind: &str,
        packing: &str,
        digest: &str,
        size: f64,
        open_digest: &str,
        open_size: f64,
        wanted: &str,
    ) -> Result<Self, String> {
        let kind: PackageKind = kind.parse().map_err(words)?;
        let compression = match packing {
            "gz" => Compression::Gzip,
            "xz" => Compression::Xz,
            "zst" => Compression::Zstd,
            other => return Err(format!("`{other}` is none of gz, xz and zst")),
        };
        let packed = File { digest: digest.parse().map_err(words)?, size: Some(bytes(size)?) };
        let open = File { digest: open_digest.parse().map_err(words)?, size: Some(bytes(open_size)?) };
        let wanted: Result<BTreeSet<Filename>, _> = wanted.lines().map(str::parse).collect();
        Ok(Self(IndexReader::new(kind, compression, packed, Some(open), &wanted.map_err(words)?)))
    }

    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        self.0.feed(piece)
    }

    /// What was found: `name digest`, a line each.
    pub fn finish(self) -> Result<String, String> {
        let found = self.0.finish()?.ok_or("it is not the index that was announced")?;
        let lines =
            found.iter().flat_map(|(name, digests)| digests.iter().map(move |d| format!("{name} {}\n", d.hex())));
        Ok(lines.collect())
    }
}

/// How much memory the module has. It never becomes less.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen]
pub fn memory_bytes() -> f64 {
    const PAGE_BYTES: f64 = 65_536.0;
    #[allow(clippy::cast_precision_loss, reason = "a module has at most 65,536 pages")]
    let pages = core::arch::wasm32::memory_size(0) as f64;
    pages * PAGE_BYTES
}

/// JavaScript's number as a count of bytes.
fn bytes(number: f64) -> Result<u64, String> {
    number.to_string().parse().map_err(words)
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
