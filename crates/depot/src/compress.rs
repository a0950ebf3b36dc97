//! The compressions that indexes are served in.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// How the lists of a YUM repository are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    #[default]
    Gzip,
    Zstd,
}

impl Compression {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }

    /// Reads everything, writes it compressed. Equal contents give equal bytes.
    pub(crate) fn compress(self, mut from: impl Read, into: impl Write) -> io::Result<()> {
        match self {
            Self::Gzip => {
                // Without a time in its header.
                let mut encoder = flate2::GzBuilder::new().write(into, flate2::Compression::default());
                io::copy(&mut from, &mut encoder)?;
                encoder.finish().map(drop)
            }
            Self::Zstd => {
                // This encoder takes failures for mistakes of the program, so it works in memory.
                let mut plain = Vec::new();
                from.read_to_end(&mut plain)?;
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                let mut into = into;
                into.write_all(&ruzstd::encoding::compress_to_vec(plain.as_slice(), level))
            }
        }
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    Compression::Gzip.compress(bytes, &mut compressed)?;
    Ok(compressed)
}

pub(crate) fn xz(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // The preset that is quick and takes little memory: an index is made again with every push.
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1))?;
    encoder.write_all(bytes)?;
    encoder.finish()
}
