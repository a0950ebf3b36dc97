//! Unpacking what arrives in pieces, within bounds: gzip, xz, zstd.
//!
//! The edge's runtime unpacks gzip alone, so all three are unpacked here. A stream may name how far back it refers; it is
//! refused when that is more than [`WINDOW_BYTES_MAX`], before any memory is taken for it. What comes out is handed on at
//! once, so nobody holds more than a window and a block.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use xz4rust::{XzDecoder, XzError, XzNextBlockResult};

/// How far back a stream may refer: `xz -6` and `zstd -19` need this much, and RFC 8878 wants no less of a reader.
pub const WINDOW_BYTES_MAX: u32 = 8 << 20;

/// How large a zstd block can be, packed and unpacked (RFC 8878, section 3.1.1.2.4).
const ZSTD_BLOCK_BYTES_MAX: usize = 128 << 10;

/// How much an xz decoder unpacks at a time.
const XZ_STEP_BYTES: usize = 64 << 10;

/// How an index file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `Packages`, `primary.xml`.
    Plain,
    /// `.gz`.
    Gzip,
    /// `.xz`.
    Xz,
    /// `.zst`.
    Zstd,
}

impl Compression {
    /// What a file's name says of it. `None` for other packers, such as bzip2.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.') {
            None | Some((_, "xml")) => Some(Self::Plain),
            Some((_, "gz")) => Some(Self::Gzip),
            Some((_, "xz")) => Some(Self::Xz),
            Some((_, "zst")) => Some(Self::Zstd),
            Some(_) => None,
        }
    }
}

/// Unpacks into a writer, piece by piece.
pub(crate) enum Unpack<W: Write> {
    Plain(W),
    Gzip(Box<MultiGzDecoder<W>>),
    Xz(Box<Xz<W>>),
    Zstd(Box<Zstd<W>>),
}

impl<W: Write> Unpack<W> {
    pub(crate) fn new(compression: Compression, to: W) -> Self {
        match compression {
            Compression::Plain => Self::Plain(to),
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(to))),
            Compression::Xz => Self::Xz(Box::new(Xz::new(to))),
            Compression::Zstd => Self::Zstd(Box::new(Zstd::new(to))),
        }
    }

    /// Takes the next piece, cut anywhere.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.write_all(piece),
            Self::Gzip(decoder) => decoder.write_all(piece),
            Self::Xz(decoder) => decoder.feed(piece),
            Self::Zstd(decoder) => decoder.feed(piece),
        }
    }

    /// Ends the stream, which must be whole, and gives the writer back.
    pub(crate) fn finish(self) -> Result<W, String> {
        match self {
            Self::Plain(to) => Ok(to),
            Self::Gzip(decoder) => decoder.finish().map_err(|error| format!("the gzip stream is broken: {error}")),
            Self::Xz(decoder) => decoder.finish(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

/// One or more xz streams, one after the other.
pub(crate) struct Xz<W: Write> {
    decoder: Box<XzDecoder<'static>>,
    out: Box<[u8]>,
    /// Whether a stream was read to its end, and no other has begun.
    ended: bool,
    /// How many zero bytes have come between streams. They come in fours.
    padding: usize,
    to: W,
}

impl<W: Write> Xz<W> {
    fn new(to: W) -> Self {
        let window = usize::try_from(WINDOW_BYTES_MAX).unwrap_or_default();
        // Nothing is taken for the window beforehand: the stream says how much it needs.
        let decoder = XzDecoder::in_heap_with_alloc_dict_size(0, window);
        Self { decoder, out: vec![0; XZ_STEP_BYTES].into(), ended: false, padding: 0, to }
    }

    fn feed(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            if self.ended {
                let zeros = piece.iter().take_while(|byte| **byte == 0).count();
                self.padding = self.padding.saturating_add(zeros);
                piece = piece.get(zeros..).unwrap_or_default();
                if piece.is_empty() {
                    return Ok(());
                }
                if !self.padding.is_multiple_of(4) {
                    return Err(io::Error::other("the xz stream is broken: its padding is not of four bytes"));
                }
                self.decoder.reset();
                (self.ended, self.padding) = (false, 0);
            }
            let step = self.decoder.decode(piece, &mut self.out).map_err(xz_error)?;
            let (taken, given) = (step.input_consumed(), step.output_produced());
            self.to.write_all(self.out.get(..given).unwrap_or_default())?;
            piece = piece.get(taken..).unwrap_or_default();
            match step {
                XzNextBlockResult::EndOfStream(..) => self.ended = true,
                XzNextBlockResult::NeedMoreData(0, 0) => {
                    return Err(io::Error::other("the xz stream is broken: it does not go on"));
                }
                XzNextBlockResult::NeedMoreData(..) => {}
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<W, String> {
        if self.ended && self.padding.is_multiple_of(4) {
            Ok(self.to)
        } else {
            Err("the xz stream is broken: it ends too early".to_owned())
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn xz_error(error: XzError) -> io::Error {
    io::Error::other(match error {
        XzError::DictionaryTooLarge(bytes) => too_far("xz", bytes),
        error => format!("the xz stream is broken: {error}"),
    })
}

fn too_far(packer: &str, bytes: u64) -> String {
    format!(
        "the {packer} stream refers {bytes} bytes back, and at most {WINDOW_BYTES_MAX} are held; pack it with a smaller \
         window"
    )
}

/// One or more zstd frames, one after the other (RFC 8878).
///
/// The decoder reads from a source that has what it asks for, so input waits here until a whole block is there. One block
/// is unpacked at a time: four bytes can stand for a block of 128 KiB.
pub(crate) struct Zstd<W: Write> {
    decoder: FrameDecoder,
    /// What has come and is not used: less than a block, between two pieces.
    held: Vec<u8>,
    at: Place,
    to: W,
}

/// Where in a zstd stream the next byte stands.
#[derive(Clone, Copy)]
enum Place {
    /// Before the first frame: one has to come.
    Start,
    /// Between frames.
    Between,
    /// In a skippable frame, with so many bytes left.
    Skipped(usize),
    /// In a frame, before a block.
    Inside { checksum: bool },
}

/// What a zstd stream's next step needs.
enum Step {
    /// More bytes than have come.
    Wait,
    /// So many were used.
    Used(usize),
}

impl<W: Write> Zstd<W> {
    fn new(to: W) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_BYTES_MAX.into());
        Self { decoder, held: Vec::new(), at: Place::Start, to }
    }

    fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(piece);
        let mut rest = held.as_slice();
        while let Step::Used(bytes) = self.step(rest)? {
            rest = rest.get(bytes..).unwrap_or_default();
        }
        let used = held.len().saturating_sub(rest.len());
        held.drain(..used);
        self.held = held;
        Ok(())
    }

    fn step(&mut self, rest: &[u8]) -> io::Result<Step> {
        match self.at {
            Place::Start | Place::Between => self.frame(rest),
            Place::Skipped(left) => {
                let bytes = left.min(rest.len());
                self.at = if bytes == left { Place::Between } else { Place::Skipped(left.saturating_sub(bytes)) };
                Ok(if rest.is_empty() { Step::Wait } else { Step::Used(bytes) })
            }
            Place::Inside { checksum } => self.block(rest, checksum),
        }
    }

    fn frame(&mut self, rest: &[u8]) -> io::Result<Step> {
        let Some((magic, after)) = rest.split_first_chunk::<4>() else { return Ok(Step::Wait) };
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18] = magic {
            let Some(length) = after.first_chunk::<4>() else { return Ok(Step::Wait) };
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(io::Error::other)?;
            self.at = if length == 0 { Place::Between } else { Place::Skipped(length) };
            return Ok(Step::Used(8));
        }
        let Some(descriptor) = after.first() else { return Ok(Step::Wait) };
        let single = descriptor & 0b10_0000 != 0;
        let content_size = match descriptor >> 6 {
            0 => usize::from(single),
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let dictionary = match descriptor & 0b11 {
            3 => 4,
            bytes => usize::from(bytes),
        };
        let length = 5 + usize::from(!single) + dictionary + content_size;
        let Some(header) = rest.get(..length) else { return Ok(Step::Wait) };
        self.decoder.reset(header).map_err(zstd_error)?;
        self.at = Place::Inside { checksum: descriptor & 0b100 != 0 };
        Ok(Step::Used(length))
    }

    fn block(&mut self, rest: &[u8], checksum: bool) -> io::Result<Step> {
        let Some(header) = rest.first_chunk::<3>() else { return Ok(Step::Wait) };
        let [low, middle, high] = *header;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let (last, kind) = (header & 1 == 1, (header >> 1) & 0b11);
        let size = usize::try_from(header >> 3).map_err(io::Error::other)?;
        if kind == 3 || size > ZSTD_BLOCK_BYTES_MAX {
            return Err(io::Error::other("the zstd stream is broken: it has a block of no legal kind or size"));
        }
        let content = if kind == 1 { 1 } else { size };
        let length = 3 + content + if last && checksum { 4 } else { 0 };
        let Some(block) = rest.get(..length) else { return Ok(Step::Wait) };
        self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1)).map_err(zstd_error)?;
        self.decoder.collect_to_writer(&mut self.to)?;
        if last {
            self.at = Place::Between;
        }
        Ok(Step::Used(length))
    }

    fn finish(self) -> Result<W, String> {
        if self.held.is_empty() && matches!(self.at, Place::Between) {
            Ok(self.to)
        } else {
            Err("the zstd stream is broken: it ends too early".to_owned())
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn zstd_error(error: FrameDecoderError) -> io::Error {
    io::Error::other(match error {
        FrameDecoderError::WindowSizeTooBig { requested, .. } => too_far("zstd", requested),
        error => format!("the zstd stream is broken: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // One text of about a megabyte, packed by gzip 1.12, xz 5.4 and zstd 1.5.
    const GZIP: &[u8] = include_bytes!("../../fixtures/packed/many.xml.gz");
    const XZ: &[u8] = include_bytes!("../../fixtures/packed/many.xml.xz");
    const XZ_CRC32: &[u8] = include_bytes!("../../fixtures/packed/crc32.xml.xz");
    const XZ_SHA256: &[u8] = include_bytes!("../../fixtures/packed/sha256.xml.xz");
    const XZ_9: &[u8] = include_bytes!("../../fixtures/packed/window.xml.xz");
    const ZSTD: &[u8] = include_bytes!("../../fixtures/packed/many.xml.zst");
    const ZSTD_19: &[u8] = include_bytes!("../../fixtures/packed/stream.xml.zst");
    const ZSTD_UNCHECKED: &[u8] = include_bytes!("../../fixtures/packed/unchecked.xml.zst");

    /// Where the window's size stands in a zstd stream whose text's size was not known beforehand.
    const ZSTD_WINDOW_AT: usize = 5;

    fn unpack(compression: Compression, packed: &[u8], step: usize) -> Result<Vec<u8>, String> {
        let mut unpack = Unpack::new(compression, Vec::new());
        for piece in packed.chunks(step) {
            unpack.feed(piece).map_err(|error| error.to_string())?;
        }
        unpack.finish()
    }

    fn text() -> Vec<u8> {
        let text = unpack(Compression::Gzip, GZIP, 1 << 20).expect("a gzip file");
        // What `gzip -l` says.
        assert_eq!(text.len(), 1_060_071);
        text
    }

    #[test]
    fn what_the_tools_pack_is_unpacked_however_it_is_cut() {
        let text = text();
        for (compression, packed) in [
            (Compression::Plain, text.as_slice()),
            (Compression::Gzip, GZIP),
            (Compression::Xz, XZ),
            (Compression::Xz, XZ_CRC32),
            (Compression::Zstd, ZSTD),
            (Compression::Zstd, ZSTD_19),
            (Compression::Zstd, ZSTD_UNCHECKED),
        ] {
            for step in [1, 3, 4096, packed.len()] {
                let unpacked = unpack(compression, packed, step).expect("a whole stream");
                assert!(unpacked == text, "{compression:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn several_streams_are_one_text() {
        let twice = text().repeat(2);
        let skipped = [b"\x5a\x2a\x4d\x18\x05\0\0\0hello".as_slice(), b"\x50\x2a\x4d\x18\0\0\0\0"].concat();
        for (compression, packed) in [
            (Compression::Gzip, [GZIP, GZIP].concat()),
            (Compression::Xz, [XZ, XZ_CRC32].concat()),
            (Compression::Xz, [XZ, &[0; 8], XZ, &[0; 4]].concat()),
            (Compression::Zstd, [ZSTD, ZSTD_19].concat()),
            (Compression::Zstd, [&skipped, ZSTD, &skipped, ZSTD_UNCHECKED, &skipped].concat()),
        ] {
            for step in [1, 7, packed.len()] {
                let unpacked = unpack(compression, &packed, step).expect("whole streams");
                assert!(unpacked == twice, "{compression:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn a_stream_that_ends_too_early_is_broken() {
        for (compression, packed) in [(Compression::Gzip, GZIP), (Compression::Xz, XZ), (Compression::Zstd, ZSTD_19)] {
            for end in (0..64).chain(packed.len() - 64..packed.len()) {
                let answer = unpack(compression, &packed[..end], 1000);
                assert!(answer.is_err(), "{compression:?}: {end} of {} bytes", packed.len());
            }
        }
        for padding in 1..4 {
            assert!(unpack(Compression::Xz, &[XZ, &vec![0; padding]].concat(), 1000).is_err(), "{padding} zeros");
            assert!(unpack(Compression::Xz, &[XZ, &vec![0; padding], XZ].concat(), 1000).is_err(), "{padding} zeros");
        }
    }

    /// Every text in here is also compared by its digest, so a wrong byte that unpacks is found there.
    #[test]
    fn a_stream_with_any_byte_changed_neither_panics_nor_grows() {
        let whole = text().len();
        for (compression, packed) in [(Compression::Xz, XZ), (Compression::Zstd, ZSTD), (Compression::Zstd, ZSTD_19)] {
            for at in (0..300).chain((300..packed.len()).step_by(31)) {
                for flip in [0x01, 0x80, 0xff] {
                    let mut damaged = packed.to_vec();
                    damaged[at] ^= flip;
                    if let Ok(text) = unpack(compression, &damaged, 4096) {
                        // A block is at most 128 KiB, and there are at most nine.
                        assert!(text.len() <= whole + (1 << 20), "{compression:?}, byte {at}: {}", text.len());
                    }
                }
            }
        }
    }

    #[test]
    fn a_stream_that_refers_too_far_back_is_refused_before_memory_is_taken() {
        let error = unpack(Compression::Xz, XZ_9, 1000).expect_err("a window of 64 MiB");
        assert!(error.contains("67108864 bytes back, and at most 8388608 are held"), "{error}");
        // The exponent is in the upper five bits: 17 is 128 MiB (RFC 8878, section 3.1.1.1.2), as `--long` takes it.
        let mut packed = ZSTD_19.to_vec();
        assert_eq!(packed[ZSTD_WINDOW_AT], 13 << 3, "a window of 8 MiB");
        packed[ZSTD_WINDOW_AT] = 17 << 3;
        let error = unpack(Compression::Zstd, &packed, 1000).expect_err("a window of 128 MiB");
        assert!(error.contains("134217728 bytes back, and at most 8388608 are held"), "{error}");
        packed[ZSTD_WINDOW_AT] = (13 << 3) + 1;
        assert!(unpack(Compression::Zstd, &packed, 1000).is_err(), "a window of 9 MiB");
        // A single segment has its whole text as window.
        let segment =
            [b"\x28\xb5\x2f\xfd\xa0".as_slice(), &(8_u32 << 20).wrapping_add(1).to_le_bytes(), &[0; 16]].concat();
        let error = unpack(Compression::Zstd, &segment, 1000).expect_err("a segment of more than 8 MiB");
        assert!(error.contains("8388609 bytes back"), "{error}");
    }

    #[test]
    fn other_streams_are_refused_by_name() {
        let error = unpack(Compression::Xz, XZ_SHA256, 1000).expect_err("an unusual check");
        assert!(error.contains("xz stream"), "{error}");
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            for other in [b"<html>no such file</html>".as_slice(), b"BZh91AY&SY", b""] {
                assert!(unpack(compression, other, 1000).is_err(), "{compression:?}: {other:?}");
            }
        }
        // A dictionary that nobody has.
        assert!(unpack(Compression::Zstd, b"\x28\xb5\x2f\xfd\x01\x58\x07\x01\0\0", 1000).is_err());
        // A block of the reserved kind, and one of more than 128 KiB.
        for header in [b"\x07\0\0", b"\xfc\xff\xff"] {
            let packed = [b"\x28\xb5\x2f\xfd\0\x58".as_slice(), header, &[0; 16]].concat();
            let error = unpack(Compression::Zstd, &packed, 1000).expect_err("an illegal block");
            assert!(error.contains("no legal kind or size"), "{error}");
        }
    }

    #[test]
    fn a_small_file_that_unpacks_without_end_is_handed_on_in_small_pieces() {
        /// Counts what comes, and how much at once.
        #[derive(Default)]
        struct Counted(usize, usize);
        impl Write for Counted {
            fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
                self.0 += piece.len();
                self.1 = self.1.max(piece.len());
                Ok(piece.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        // Ten thousand blocks of 128 KiB, four bytes each: 1.3 GB of zeros in 40 KB, given at once.
        let block =
            |last: u32| [(((128_u32 << 10) << 3) | (1 << 1) | last).to_le_bytes()[..3].to_vec(), vec![0]].concat();
        let blocks = block(0).repeat(9999);
        let bomb = [b"\x28\xb5\x2f\xfd\0\x58".as_slice(), &blocks, &block(1)].concat();
        let mut unpack = Unpack::new(Compression::Zstd, Counted::default());
        unpack.feed(&bomb).expect("a legal stream");
        let Counted(all, most) = unpack.finish().expect("a whole stream");
        assert_eq!(all, 10_000 * (128 << 10));
        // A window of 2 MiB is held, and leaves at the end.
        assert!(most <= (2 << 20) + (128 << 10), "{most}");
    }

    #[test]
    fn a_name_tells_how_a_file_is_packed() {
        for (name, compression) in [
            ("Packages", Some(Compression::Plain)),
            ("Packages.gz", Some(Compression::Gzip)),
            ("Packages.xz", Some(Compression::Xz)),
            ("0a-primary.xml", Some(Compression::Plain)),
            ("0a-primary.xml.gz", Some(Compression::Gzip)),
            ("0a-primary.xml.xz", Some(Compression::Xz)),
            ("0a-primary.xml.zst", Some(Compression::Zstd)),
            ("0a-primary.xml.bz2", None),
            ("0a-primary.xml.zck", None),
            ("0a-primary.sqlite", None),
        ] {
            assert_eq!(Compression::of(name), compression, "{name}");
        }
    }
}
