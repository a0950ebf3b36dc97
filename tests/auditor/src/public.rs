//! What anybody gets: APT and YUM indexes with the files that they lead to.

use std::io::Read as _;

use crate::sha256;

/// How long one answer may take.
const SECONDS_MAX: u64 = 120;

/// A file in a public index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The repository.
    pub repository: String,
    /// The distro version.
    pub distro: String,
    /// The file's name.
    pub filename: String,
    /// The digest that the index promises.
    pub promised: String,
    /// The digest of what is under the address that it gives. `None` where that was not fetched, being too large.
    pub bytes: Option<String>,
}

fn get(url: &str, accept: &str) -> Result<Option<Vec<u8>>, String> {
    let answer = minreq::get(url).with_header("accept", accept).with_timeout(SECONDS_MAX).send();
    let answer = answer.map_err(|error| format!("cannot read {url}: {error}"))?;
    match answer.status_code {
        200 => Ok(Some(answer.into_bytes())),
        404 => Ok(None),
        status => Err(format!("cannot read {url}: it answers {status}")),
    }
}

fn must(url: &str, whose: &str) -> Result<Vec<u8>, String> {
    get(url, "*/*")?.ok_or_else(|| format!("{whose} leads to {url}, where nothing is"))
}

fn unpacked(bytes: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text);
    read.map_err(|error| format!("a list cannot be unpacked: {error}"))?;
    Ok(text)
}

fn unpacked_zstd(packed: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    let cannot = |error: String| format!("a list cannot be unpacked: {error}");
    let mut reader = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|error| cannot(error.to_string()))?;
    reader.read_to_string(&mut text).map_err(|error| cannot(error.to_string()))?;
    Ok(text)
}

/// How often an index is read that changes each time while it is.
const ROUNDS_MAX: usize = 10;

/// Every file in the index of one architecture of one distro version, with its bytes hashed unless they are more than
/// `bytes_max`.
///
/// What is read may be replaced between two reads of it: a list that is not what was promised, or a file that is gone, is only
/// wrong where what has promised it still stands.
pub fn read_index(
    server: &str,
    repository: &str,
    distro: &str,
    architecture: &str,
    is_rpm: bool,
    bytes_max: u64,
) -> Result<Vec<Listed>, String> {
    let (name, version) = distro.split_once('/').ok_or_else(|| format!("`{distro}` is no distro version"))?;
    let (base, root) = if is_rpm {
        let base = format!("{server}/{repository}/{distro}/{architecture}");
        (base.clone(), format!("{base}/repodata/repomd.xml"))
    } else {
        let base = format!("{server}/{repository}/{name}");
        (base.clone(), format!("{base}/dists/{version}/Release"))
    };
    let mut promises = get(&root, "*/*")?;
    for _ in 0..ROUNDS_MAX {
        let Some(said) = &promises else { return Ok(Vec::new()) };
        let said = String::from_utf8_lossy(said);
        let files = if is_rpm { rpms(&base, &said) } else { debs(&base, version, architecture, &said) };
        let listed = |file: File| {
            let bytes = if file.size > bytes_max { None } else { Some(sha256(&must(&file.url, "the index")?)) };
            Ok(Listed {
                repository: repository.to_owned(),
                distro: distro.to_owned(),
                filename: file.url.rsplit('/').next().unwrap_or_default().to_owned(),
                promised: file.promised,
                bytes,
            })
        };
        let wrong = match files.and_then(|files| files.into_iter().map(listed).collect()) {
            Ok(listed) => return Ok(listed),
            Err(wrong) => wrong,
        };
        let now = get(&root, "*/*")?;
        if now == promises {
            return Err(wrong);
        }
        promises = now;
    }
    Err(format!("{root} has changed {ROUNDS_MAX} times while what it leads to was read"))
}

/// A file that an index leads to.
struct File {
    url: String,
    promised: String,
    size: u64,
}

/// `Release` promises the digest of the list, and the list those of the files.
fn debs(base: &str, version: &str, architecture: &str, release: &str) -> Result<Vec<File>, String> {
    let dist = format!("{base}/dists/{version}");
    let sums = release.split_once("SHA256:\n").map_or("", |(_, sums)| sums);
    let promised = |path: &str| {
        let lines = sums.lines().take_while(|line| line.starts_with(' '));
        let mut fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
        fields
            .find(|fields| fields.last() == Some(&path))
            .and_then(|fields| fields.first().map(|sum| (*sum).to_owned()))
    };
    let shelf = format!("main/binary-{architecture}");
    let (plain, packed) = (format!("{shelf}/Packages"), format!("{shelf}/Packages.gz"));
    let (path, sum, is_packed) = match (promised(&plain), promised(&packed)) {
        (Some(sum), _) => (plain, sum, false),
        (None, Some(sum)) => (packed, sum, true),
        (None, None) => return Ok(Vec::new()),
    };
    // The next list is there before the `Release` that names it, so under its name it can be ahead of this one. Where lists are
    // there under their digests as well, that one is read, as apt does.
    let by_digest = release.lines().any(|line| line == "Acquire-By-Hash: yes");
    let path = if by_digest { format!("{shelf}/by-hash/SHA256/{sum}") } else { path };
    let list = must(&format!("{dist}/{path}"), "`Release`")?;
    if sha256(&list) != sum {
        return Err(format!("{dist}/{path} has not the digest that `Release` promises"));
    }
    let text = if is_packed { unpacked(&list)? } else { String::from_utf8_lossy(&list).into_owned() };
    let mut files = Vec::new();
    for stanza in text.split("\n\n").filter(|stanza| !stanza.trim().is_empty()) {
        let field = |name: &str| {
            let value = stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            value.ok_or_else(|| format!("{dist}/{path} has a package without `{name}`"))
        };
        files.push(File {
            url: format!("{base}/{}", field("Filename:")?),
            promised: field("SHA256:")?.to_owned(),
            size: field("Size:")?.parse().unwrap_or(u64::MAX),
        });
    }
    Ok(files)
}

/// The part of a text between two others, and what follows.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(before)?.1.split_once(after)
}

/// `repomd.xml` promises the digest of `primary`, and that those of the files.
fn rpms(base: &str, lists: &str) -> Result<Vec<File>, String> {
    let lacks = |what: &str| format!("{base}/repodata names no {what}");
    let (primary, _) = between(lists, "<data type=\"primary\">", "</data>").ok_or_else(|| lacks("primary list"))?;
    let (place, _) = between(primary, "<location href=\"", "\"").ok_or_else(|| lacks("place of its list"))?;
    let (_, rest) = primary.split_once("<checksum type=\"sha256\"").ok_or_else(|| lacks("digest of its list"))?;
    let (sum, _) = between(rest, ">", "<").ok_or_else(|| lacks("digest of its list"))?;
    let packed = must(&format!("{base}/{place}"), "`repomd.xml`")?;
    if sha256(&packed) != sum {
        return Err(format!("{base}/{place} has not the digest that `repomd.xml` promises"));
    }
    // What it is packed with is told by how it begins: RFC 1952 and RFC 8878.
    let text = match packed.as_slice() {
        [0x1f, 0x8b, ..] => unpacked(&packed)?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => unpacked_zstd(&packed)?,
        _ => return Err(format!("{base}/{place} is packed in a way that this program does not read")),
    };
    let mut files = Vec::new();
    for package in text.split("<package ").skip(1) {
        let (place, _) = between(package, "<location href=\"", "\"").ok_or_else(|| lacks("place of a package"))?;
        let (_, rest) = package.split_once("<checksum type=\"sha256\"").ok_or_else(|| lacks("digest of a package"))?;
        let (sum, _) = between(rest, ">", "<").ok_or_else(|| lacks("digest of a package"))?;
        let size = package.split_once("<size ").and_then(|(_, rest)| between(rest, "package=\"", "\""));
        files.push(File {
            url: format!("{base}/{place}"),
            promised: sum.to_owned(),
            size: size.and_then(|(size, _)| size.parse().ok()).unwrap_or(u64::MAX),
        });
    }
    Ok(files)
}
