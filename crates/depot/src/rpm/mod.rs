//! Reads what an rpm says about itself.

pub(crate) mod header;

use std::io::Read;

use serde::{Deserialize, Serialize};

use self::header::{Header, Headers, InvalidHeader, tag};

/// The relations to other packages: the kind, as indexes and packagecloud name it, and the tags of the names, the
/// versions and the flags.
const RELATIONS: [(&str, u32, u32, u32); 8] = [
    ("provides", 1047, 1113, 1112),
    ("requires", 1049, 1050, 1048),
    ("conflicts", 1054, 1055, 1053),
    ("obsoletes", 1090, 1115, 1114),
    ("recommends", 5046, 5047, 5048),
    ("suggests", 5049, 5050, 5051),
    ("supplements", 5052, 5053, 5054),
    ("enhances", 5055, 5056, 5057),
];

/// The header of a package, checked, as far as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rpm {
    pub(crate) name: String,
    pub(crate) epoch: Option<u32>,
    pub(crate) version: String,
    pub(crate) release: String,
    /// `src` for a source package, which names the machine it was built on in its header.
    pub(crate) architecture: String,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) license: String,
    /// Kind, and one text for each.
    pub(crate) relations: Vec<(String, Vec<String>)>,
}

/// One relation to another package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: String,
    /// `EQ`, `LT`, `LE`, `GT` or `GE`, when a version is meant.
    pub(crate) compared: Option<&'static str>,
    /// `[epoch:]version[-release]`
    pub(crate) version: String,
    /// It must be there before the package's own scripts run.
    pub(crate) early: bool,
}

/// Why a file is not taken for an rpm.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidRpm {
    #[error(transparent)]
    Header(#[from] InvalidHeader),
    #[error("has no {0} in its header")]
    Missing(&'static str),
    #[error("has `{text}` as its {what}, which cannot be a part of a file name")]
    Letters { what: &'static str, text: String },
}

impl Rpm {
    /// Reads the header of an rpm.
    pub(crate) fn of_file(file: &mut impl Read) -> Result<Self, InvalidRpm> {
        Self::of_header(&Headers::read(file)?.header)
    }

    fn of_header(header: &Header) -> Result<Self, InvalidRpm> {
        let part = |tag: u32, what: &'static str| {
            let text = header.text(tag).ok_or(InvalidRpm::Missing(what))?;
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~^".contains(&byte);
            let in_name = |byte: u8| letters(byte) || (tag == tag::NAME && byte == b'-');
            if text.is_empty() || text.len() > 200 || text.starts_with(['.', '-']) || !text.bytes().all(in_name) {
                return Err(InvalidRpm::Letters { what, text: text.chars().take(80).collect() });
            }
            Ok(text.to_owned())
        };
        // As rpm itself tells them apart: only what was built from a source package names one.
        let is_source = header.text(tag::SOURCE_RPM).is_none();
        let architecture = part(tag::ARCHITECTURE, "architecture")?;
        let text = |tag| header.text(tag).unwrap_or_default().to_owned();
        let relations = RELATIONS.iter().map(|(kind, ..)| {
            let texts = relations(header, kind).into_iter().map(|relation| relation.text()).collect::<Vec<_>>();
            ((*kind).to_owned(), texts)
        });
        Ok(Self {
            name: part(tag::NAME, "name")?,
            epoch: header.number(tag::EPOCH).and_then(|epoch| u32::try_from(epoch).ok()),
            version: part(tag::VERSION, "version")?,
            release: part(tag::RELEASE, "release")?,
            architecture: if is_source { "src".to_owned() } else { architecture },
            summary: text(tag::SUMMARY),
            description: text(tag::DESCRIPTION),
            license: text(tag::LICENSE),
            relations: relations.filter(|(_, texts)| !texts.is_empty()).collect(),
        })
    }

    /// The name that a file of this package has in every repository.
    pub(crate) fn filename(&self) -> String {
        format!("{}-{}-{}.{}.rpm", self.name, self.version, self.release, self.architecture)
    }

    /// The repository of a distro version that has it: what dnf calls `$basearch` on machines that install it.
    /// `None` for a package that all of them have.
    pub(crate) fn base_architecture(&self) -> Option<&str> {
        match self.architecture.as_str() {
            "noarch" => None,
            "src" => Some("SRPMS"),
            "i386" | "i486" | "i586" | "i686" | "athlon" | "geode" => Some("i386"),
            "amd64" | "ia32e" | "x86_64_v2" | "x86_64_v3" | "x86_64_v4" => Some("x86_64"),
            "armv7hl" | "armv7hnl" | "armv8hl" => Some("armhfp"),
            other => Some(other),
        }
    }
}

/// The relations of one kind. What rpm itself must be able to do (`rpmlib(…)`) is not one to another package.
pub(crate) fn relations(header: &Header, wanted: &str) -> Vec<Relation> {
    let Some((_, names, versions, flags)) = RELATIONS.iter().find(|(kind, ..)| *kind == wanted) else {
        return Vec::new();
    };
    let (versions, flags) = (header.texts(*versions), header.numbers(*flags));
    let all = header.texts(*names).iter().enumerate().map(|(at, name)| {
        let flags = flags.get(at).copied().unwrap_or_default();
        let version = versions.get(at).cloned().unwrap_or_default();
        let compared = match flags & 0b1110 {
            2 => Some("LT"),
            4 => Some("GT"),
            8 => Some("EQ"),
            10 => Some("LE"),
            12 => Some("GE"),
            _ => None,
        };
        Relation {
            name: name.clone(),
            compared: compared.filter(|_| !version.is_empty()),
            version,
            // RPMSENSE_PREREQ, RPMSENSE_SCRIPT_PRE, RPMSENSE_SCRIPT_POST
            early: flags & (1 << 6 | 1 << 9 | 1 << 10) != 0,
        }
    });
    all.filter(|relation| !relation.name.starts_with("rpmlib(")).collect()
}

impl Relation {
    fn text(&self) -> String {
        let sign = match self.compared {
            None => return self.name.clone(),
            Some("LT") => "<",
            Some("LE") => "<=",
            Some("GT") => ">",
            Some("GE") => ">=",
            Some(_) => "=",
        };
        format!("{} {sign} {}", self.name, self.version)
    }

    /// Epoch, version and release, apart as indexes have them.
    pub(crate) fn parts(&self) -> (&str, &str, Option<&str>) {
        let (epoch, rest) = self.version.split_once(':').unwrap_or(("0", &self.version));
        match rest.rsplit_once('-') {
            Some((version, release)) => (epoch, version, Some(release)),
            None => (epoch, rest, None),
        }
    }
}
