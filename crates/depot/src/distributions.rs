//! The distributions that packages can be pushed for, and their ids.
//!
//! Ids are numbers that differ from one installation of packagecloud to another. So there are two tables: a client
//! that has hard-coded a number works with one of them only.

use std::str::FromStr;

use serde_json::{Value, json};

use crate::names::Distro;

/// Which installation's ids are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// The ids of packagecloud.io (2023 to 2024).
    #[default]
    Packagecloud,
    /// The ids of a self-hosted installation as recorded in 2017; versions that it did not have yet are 1000 higher
    /// than on packagecloud.io.
    Enterprise,
}

impl FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "packagecloud" => Ok(Self::Packagecloud),
            "enterprise" => Ok(Self::Enterprise),
            other => Err(format!("`{other}` is not a table of distribution ids: use `packagecloud` or `enterprise`")),
        }
    }
}

/// Whether packages of this distribution are in a YUM repository; otherwise they are in an APT one.
pub(crate) fn is_yum(distro: &Distro) -> bool {
    ROWS.iter().any(|row| row.index == distro.name() && row.kinds == RPM)
}

/// A distribution: the kinds of packages it takes, its names, its versions as (id, index name, version number).
struct Row {
    kinds: &'static [&'static str],
    display: &'static str,
    index: &'static str,
    versions: &'static [(u32, &'static str, &'static str)],
}

const DEB: &[&str] = &["deb", "dsc"];
const RPM: &[&str] = &["rpm"];

const ROWS: &[Row] = &[
    Row {
        kinds: DEB,
        display: "Ubuntu",
        index: "ubuntu",
        versions: &[
            (16, "precise", "12.04"),
            (20, "trusty", "14.04"),
            (165, "xenial", "16.04"),
            (190, "bionic", "18.04"),
            (210, "focal", "20.04"),
            (220, "hirsute", "21.04"),
            (235, "impish", "21.10"),
            (237, "jammy", "22.04"),
            (261, "kinetic", "22.10"),
            (284, "noble", "24.04"),
        ],
    },
    Row {
        kinds: DEB,
        display: "Debian",
        index: "debian",
        versions: &[
            (24, "wheezy", "7"),
            (25, "jessie", "8"),
            (149, "stretch", "9"),
            (150, "buster", "10"),
            (207, "bullseye", "11"),
            (215, "bookworm", "12"),
            (221, "trixie", "13"),
            (280, "forky", "14"),
        ],
    },
    Row {
        kinds: DEB,
        display: "Raspbian",
        index: "raspbian",
        versions: &[
            (153, "wheezy", "7"),
            (154, "jessie", "8"),
            (155, "stretch", "9"),
            (156, "buster", "10"),
            (233, "bullseye", "11"),
            (290, "bookworm", "12"),
            (291, "trixie", "13"),
            (292, "forky", "14"),
        ],
    },
    Row { kinds: DEB, display: "Any OS", index: "any", versions: &[(35, "any", "")] },
    Row {
        kinds: RPM,
        display: "Enterprise Linux",
        index: "el",
        versions: &[(26, "5", "5.0"), (27, "6", "6.0"), (140, "7", "7.0"), (205, "8", "8.0"), (240, "9", "9.0")],
    },
    Row {
        kinds: RPM,
        display: "Oracle Linux",
        index: "ol",
        versions: &[(144, "5", "5.0"), (145, "6", "6.0"), (146, "7", "7.0"), (234, "8", "8.0"), (244, "9", "9.0")],
    },
    Row {
        kinds: RPM,
        display: "Scientific Linux",
        index: "scientific",
        versions: &[(138, "5", "5.0"), (139, "6", "6.0"), (141, "7", "7.0")],
    },
    Row {
        kinds: RPM,
        display: "Fedora",
        index: "fedora",
        versions: &[
            (28, "14", "14.0"),
            (29, "15", "15.0"),
            (30, "16", "16.0"),
            (31, "17", "17.0"),
            (32, "18", "18.0"),
            (33, "19", "19.0"),
            (34, "20", "20.0"),
            (143, "21", "21.0"),
            (147, "22", "22.0"),
            (151, "23", "23.0"),
            (169, "24", "24.0"),
            (260, "37", "37.0"),
            (273, "38", "38.0"),
            (279, "39", "39.0"),
            (283, "40", "40.0"),
            (302, "41", "41.0"),
        ],
    },
    Row {
        kinds: RPM,
        display: "openSUSE",
        index: "opensuse",
        versions: &[
            (173, "13.1", "13.1"),
            (174, "13.2", "13.2"),
            (175, "42.1", "42.1"),
            (181, "42.2", "42.2"),
            (186, "42.3", "42.3"),
            (196, "15.0", "15.0"),
            (197, "15.1", "15.1"),
            (217, "15.2", "15.2"),
            (224, "15.3", "15.3"),
            (242, "15.4", "15.4"),
            (272, "15.5", "15.5"),
            (282, "15.6", "15.6"),
        ],
    },
    Row {
        kinds: RPM,
        display: "SUSE Linux Enterprise Server",
        index: "sles",
        versions: &[
            (176, "11.4", "11.4"),
            (177, "12.0", "12.0"),
            (178, "12.1", "12.1"),
            (182, "12.2", "12.2"),
            (192, "12.3", "12.3"),
            (212, "12.4", "12.4"),
            (213, "12.5", "12.5"),
            (198, "15.0", "15.0"),
            (214, "15.1", "15.1"),
            (218, "15.2", "15.2"),
            (225, "15.3", "15.3"),
            (243, "15.4", "15.4"),
            (288, "15.5", "15.5"),
            (296, "15.6", "15.6"),
        ],
    },
    Row {
        kinds: RPM,
        display: "Amazon Linux",
        index: "amazon",
        versions: &[(274, "1", "1.0"), (275, "2", "2.0"), (276, "2023", "2023.0")],
    },
    Row { kinds: RPM, display: "Any OS", index: "rpm_any", versions: &[(227, "rpm_any", "")] },
    Row {
        kinds: &["alpine"],
        display: "Alpine Linux",
        index: "alpine",
        versions: &[(228, "v3.13", "3.13"), (262, "v3.14", "3.14")],
    },
    Row { kinds: &["alpine"], display: "Any OS", index: "alpine_any", versions: &[(293, "alpine_any", "")] },
    Row { kinds: &["jar"], display: "Java", index: "java", versions: &[(167, "maven2", "")] },
    Row { kinds: &["node"], display: "Node.js", index: "node", versions: &[(191, "1", "1.0")] },
    Row { kinds: &["anyfile"], display: "Anyfile", index: "anyfile", versions: &[(230, "1", "1.0")] },
    Row { kinds: &["helm"], display: "Helm", index: "helm", versions: &[(241, "v1", "1.0")] },
];

/// What a self-hosted installation answered in 2017.
const ENTERPRISE: &[(&str, &str, u32)] = &[
    ("ubuntu", "xenial", 60),
    ("any", "any", 1),
    ("raspbian", "wheezy", 51),
    ("raspbian", "jessie", 52),
    ("raspbian", "stretch", 53),
    ("raspbian", "buster", 54),
    ("el", "6", 29),
    ("el", "7", 30),
    ("scientific", "7", 33),
    ("ol", "7", 44),
    ("opensuse", "13.2", 72),
    ("sles", "12.0", 75),
];

impl Ids {
    fn id(self, distro: &str, version: &str, packagecloud: u32) -> u32 {
        match self {
            Self::Packagecloud => packagecloud,
            Self::Enterprise => ENTERPRISE
                .iter()
                .find(|(name, index, _)| (*name, *index) == (distro, version))
                .map_or(packagecloud + 1000, |(_, _, id)| *id),
        }
    }

    /// The distro version that takes packages of a kind (`deb`, `rpm`) and has this id.
    pub(crate) fn distro(self, kind: &str, id: u32) -> Option<Distro> {
        let rows = ROWS.iter().filter(|row| row.kinds.contains(&kind));
        let mut versions = rows.flat_map(|row| row.versions.iter().map(|version| (row.index, version)));
        versions
            .find(|(distro, version)| self.id(distro, version.1, version.0) == id)
            .and_then(|(distro, version)| Distro::new(distro, version.1).ok())
    }

    /// The answer of `distributions.json`.
    pub(crate) fn distributions(self) -> Value {
        let mut kinds = serde_json::Map::new();
        for row in ROWS {
            let versions: Vec<Value> = row
                .versions
                .iter()
                .map(|&(id, index, number)| {
                    json!({
                        "id": self.id(row.index, index, id),
                        "display_name": if number.is_empty() { index } else { number },
                        "index_name": index,
                        "version_number": if number.is_empty() { Value::Null } else { number.into() },
                    })
                })
                .collect();
            let entry = json!({"display_name": row.display, "index_name": row.index, "versions": versions});
            for kind in row.kinds {
                if let Some(list) = kinds.entry(*kind).or_insert_with(|| json!([])).as_array_mut() {
                    list.push(entry.clone());
                }
            }
        }
        // Python's only version has neither an index name nor a version number.
        let python = json!({"id": self.id("python", "", 166), "display_name": "Python"});
        kinds
            .insert("py".to_owned(), json!([{"display_name": "Python", "index_name": "python", "versions": [python]}]));
        Value::Object(kinds)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(ids: Ids, id: u32) -> Option<String> {
        ids.distro("deb", id).map(|distro| distro.to_string())
    }

    #[test]
    fn an_id_means_what_its_installation_says() {
        assert_eq!(name(Ids::Packagecloud, 165).as_deref(), Some("ubuntu/xenial"));
        assert_eq!(name(Ids::Packagecloud, 237).as_deref(), Some("ubuntu/jammy"));
        assert_eq!(name(Ids::Packagecloud, 60), None);
        assert_eq!(name(Ids::Enterprise, 60).as_deref(), Some("ubuntu/xenial"));
        assert_eq!(name(Ids::Enterprise, 1).as_deref(), Some("any/any"));
        assert_eq!(name(Ids::Enterprise, 237), None);
        assert_eq!(name(Ids::Packagecloud, 240), None, "el/9 takes no debs");
        let rpm = |ids: Ids, id| ids.distro("rpm", id).map(|distro| distro.to_string());
        assert_eq!(rpm(Ids::Packagecloud, 240).as_deref(), Some("el/9"));
        assert_eq!(rpm(Ids::Packagecloud, 227).as_deref(), Some("rpm_any/rpm_any"));
        assert_eq!(rpm(Ids::Enterprise, 30).as_deref(), Some("el/7"));
        assert_eq!(rpm(Ids::Packagecloud, 237), None, "ubuntu/jammy takes no rpms");
    }

    #[test]
    fn no_two_versions_share_an_id() {
        for ids in [Ids::Packagecloud, Ids::Enterprise] {
            let mut seen = BTreeSet::new();
            for row in ROWS {
                for (id, version, _) in row.versions {
                    let id = ids.id(row.index, version, *id);
                    assert!(seen.insert(id), "{ids:?} has {id} twice, the second time for {}/{version}", row.index);
                }
            }
        }
    }
}
