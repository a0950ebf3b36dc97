//! A release as a matrix: what each package is for goes down, what it is goes across.
//!
//! Nothing says which column a package belongs to, so it is read from its key: what is left of it without the words that
//! its row and its architecture say already. `ee-fips-el-9-amd64` for `el/9` stands in the row `el/9`, in the column
//! `ee-fips amd64`.

use std::cmp::Ordering;

use slipway_core::api::{Package, Release, Target};

use crate::filter::Filter;

/// Up to this many targets, all of them are shown as a matrix, unless the reader asks for a list.
const MATRIX_MAX: usize = 200;

/// How a release's targets are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Distributions down, architectures and editions across.
    Matrix,
    /// A row for each target.
    List,
}

impl View {
    /// Its name in addresses.
    pub fn code(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::List => "list",
        }
    }
}

/// The layout that the reader asks for, or else the one that suits the release: a matrix of one column is a list.
pub fn view(release: &Release, filter: &Filter) -> View {
    filter.view.unwrap_or_else(|| {
        let targets: usize = release.packages.iter().map(|package| package.targets.len()).sum();
        let is_wide = || [false, true].into_iter().any(|images| grid(release, images).columns.len() > 1);
        if targets <= MATRIX_MAX && is_wide() { View::Matrix } else { View::List }
    })
}

/// Where a target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is for: the distro version, or the tag with a colon before it.
    pub row: String,
    /// What it is, without its architecture: `ee-fips`.
    pub line: String,
    /// Its architecture, in Debian's words, or `all`.
    pub arch: String,
}

/// The place of a target.
pub fn place(release: &Release, package: &Package, target: &Target) -> Place {
    let key = package.key.as_str();
    let arch = match &package.architecture {
        Some(architecture) => normal(architecture),
        None => {
            key.split('-').map(normal).find(|word| ARCHITECTURES.iter().any(|(_, name)| name == word)).unwrap_or("all")
        }
    };
    let mut words: Vec<&str> = Vec::new();
    let mut follows_os = false;
    for word in key.split('-') {
        let is_os = package.targets.iter().any(|target| names_os(word, os_and_version(target).0));
        let is_version = follows_os && word.starts_with(|first: char| first.is_ascii_digit());
        let is_said = is_os
            || is_version
            || normal(word) == arch
            || package.targets.iter().any(|target| names_version(word, os_and_version(target)));
        if !is_said {
            words.push(word);
        }
        follows_os = is_os;
    }
    let line = if words.is_empty() { release.project.name.clone() } else { words.join("-") };
    Place { row: target.name().into_owned(), line, arch: arch.to_owned() }
}

/// Architectures by the names that packages give them, each with Debian's name.
const ARCHITECTURES: [(&str, &str); 17] = [
    ("amd64", "amd64"),
    ("x86_64", "amd64"),
    ("arm64", "arm64"),
    ("aarch64", "arm64"),
    ("armhf", "armhf"),
    ("armv7l", "armhf"),
    ("armv7hl", "armhf"),
    ("armel", "armel"),
    ("i386", "i386"),
    ("i686", "i386"),
    ("ppc64el", "ppc64el"),
    ("ppc64le", "ppc64el"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
    ("loong64", "loong64"),
    ("all", "all"),
    ("noarch", "all"),
];

/// An architecture in Debian's words; what is not known stays as it is.
pub(crate) fn normal(architecture: &str) -> &str {
    ARCHITECTURES.iter().find(|(name, _)| *name == architecture).map_or(architecture, |(_, name)| name)
}

fn os_and_version(target: &Target) -> (&str, &str) {
    target.distro.split_once('/').unwrap_or((&target.distro, ""))
}

/// Whether a word of a key names this operating system. Packages of the `el` family are called after any of its members.
fn names_os(word: &str, os: &str) -> bool {
    const FAMILY: [&str; 8] = ["el", "rhel", "centos", "alma", "almalinux", "rocky", "ol", "oracle"];
    !os.is_empty() && (word == os || FAMILY.contains(&word) && FAMILY.contains(&os))
}

/// Whether a word of a key names this version: a codename by itself, a number behind its system's name.
fn names_version(word: &str, (os, version): (&str, &str)) -> bool {
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let behind_os = word.strip_prefix(os).unwrap_or_default();
    !version.is_empty() && !os.is_empty() && (word == version && !is_number(version) || is_number(behind_os))
}

/// The targets of one place.
pub type Cell<'a> = Vec<(&'a Package, &'a Target)>;

/// Targets by row and column.
pub struct Grid<'a> {
    /// Line and architecture.
    pub columns: Vec<(String, String)>,
    /// What each row is for, and its cells, as many as there are columns. A cell may be empty, and may hold several targets.
    pub rows: Vec<(String, Vec<Cell<'a>>)>,
}

/// The files of a release, or its images, by row and column.
pub fn grid(release: &Release, images: bool) -> Grid<'_> {
    let mut grid = Grid { columns: Vec::new(), rows: Vec::new() };
    let mut placed = Vec::new();
    for package in &release.packages {
        for target in package.targets.iter().filter(|target| target.tag.is_some() == images) {
            let Place { row, line, arch } = place(release, package, target);
            if let Err(at) = grid.rows.binary_search_by(|(other, _)| natural(other, &row)) {
                grid.rows.insert(at, (row.clone(), Vec::new()));
            }
            let column = (line, arch);
            if let Err(at) = grid.columns.binary_search(&column) {
                grid.columns.insert(at, column.clone());
            }
            placed.push((row, column, package, target));
        }
    }
    for (row, column, package, target) in placed {
        let (Ok(row), Ok(column)) =
            (grid.rows.binary_search_by(|(other, _)| natural(other, &row)), grid.columns.binary_search(&column))
        else {
            continue;
        };
        if let Some((_, cells)) = grid.rows.get_mut(row) {
            cells.resize(grid.columns.len(), Vec::new());
            if let Some(cell) = cells.get_mut(column) {
                cell.push((package, target));
            }
        }
    }
    grid
}

/// The order in which people count: `el/9` before `el/10`.
fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        let (a, b) = (digits(one), digits(other));
        let order = if a > 0 && b > 0 {
            // Of two numbers without zeros in front, the longer is the greater.
            a.cmp(&b).then_with(|| one.get(..a).cmp(&other.get(..b)))
        } else {
            one.first().cmp(&other.first())
        };
        if order != Ordering::Equal || one.is_empty() {
            return order;
        }
        one = one.get(a.max(1)..).unwrap_or_default();
        other = other.get(b.max(1)..).unwrap_or_default();
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::release;

    /// Where a package with this key and architecture stands, as `row line arch`.
    fn place_of(key: &str, architecture: &str, distros: &str) -> String {
        let mut release = release("staged");
        let package = &mut release.packages[0];
        package.key = key.parse().expect("a key");
        package.architecture = (!architecture.is_empty()).then(|| architecture.to_owned());
        let target = package.targets.remove(0);
        for name in distros.split(' ') {
            let (distro, tag) = Target::named(name);
            package.targets.push(Target { distro, tag, ..target.clone() });
        }
        let package = &release.packages[0];
        let Place { row, line, arch } = place(&release, package, package.targets.last().expect("a target"));
        format!("{row} {line} {arch}")
    }

    #[test]
    fn a_place_is_what_is_left_of_the_key() {
        for (key, architecture, distros, place) in [
            ("ee-ubuntu-jammy-amd64", "amd64", "ubuntu/jammy", "ubuntu/jammy ee amd64"),
            ("ee-ubuntu-jammy-amd64", "", "ubuntu/jammy", "ubuntu/jammy ee amd64"),
            ("ee-fips-el-9-x86_64", "x86_64", "el/9", "el/9 ee-fips amd64"),
            ("ee-el9-aarch64", "aarch64", "el/9", "el/9 ee arm64"),
            ("ce-almalinux-9-arm64", "", "el/9", "el/9 ce arm64"),
            ("ce-ubuntu-22.04-arm64", "", "ubuntu/jammy", "ubuntu/jammy ce arm64"),
            ("ubuntu-jammy-amd64", "amd64", "ubuntu/jammy", "ubuntu/jammy tug amd64"),
            ("jammy", "", "ubuntu/jammy", "ubuntu/jammy tug all"),
            ("tug-opensuse-15-amd64", "x86_64", "opensuse/15.6", "opensuse/15.6 tug amd64"),
            // A number that does not follow a system's name is part of the package's.
            ("php-8-el-8-amd64", "", "el/8", "el/8 php-8 amd64"),
            ("php-7-el-8-amd64", "", "el/8", "el/8 php-7 amd64"),
            // A package may be for several distributions: none of them is a line.
            ("tug-el-9-amd64", "", "el/9 ol/9 scientific/9", "scientific/9 tug amd64"),
            ("pi-bookworm", "armhf", "raspbian/bookworm", "raspbian/bookworm pi armhf"),
            ("tug-doc", "noarch", "el/9", "el/9 tug-doc all"),
            ("ee-image", "", ":17.3.1-ee.0", ":17.3.1-ee.0 ee-image all"),
            ("tug-jammy", "mips64", "ubuntu/jammy", "ubuntu/jammy tug mips64"),
        ] {
            assert_eq!(place_of(key, architecture, distros), place, "{key}");
        }
    }

    /// A release of these targets, each as `key distro`.
    fn release_of(targets: &[&str]) -> Release {
        let mut release = release("staged");
        let one = release.packages.remove(0);
        for (key, name) in targets.iter().filter_map(|text| text.split_once(' ')) {
            let mut package = one.clone();
            package.key = key.parse().expect("a key");
            (package.targets[0].distro, package.targets[0].tag) = Target::named(name);
            release.packages.push(package);
        }
        release
    }

    fn drawn(grid: &Grid<'_>) -> String {
        let columns: Vec<String> = grid.columns.iter().map(|(line, arch)| format!("{line} {arch}")).collect();
        let rows = grid.rows.iter().map(|(row, cells)| {
            let cells = cells.iter().map(|cell| {
                let keys: Vec<&str> = cell.iter().map(|(package, _)| package.key.as_str()).collect();
                if keys.is_empty() { "-".to_owned() } else { keys.join("+") }
            });
            format!("{row}: {}", cells.collect::<Vec<_>>().join(" | "))
        });
        [columns.join(" | ")].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn distributions_go_down_and_architectures_across() {
        let release = release_of(&[
            "el-10-amd64 el/10",
            "el-9-amd64 el/9",
            "el-9-arm64 el/9",
            "tug-image :1.2.0",
            "el-9-extra-amd64 el/9",
        ]);
        assert_eq!(
            drawn(&grid(&release, false)),
            "extra amd64 | tug amd64 | tug arm64\n\
             el/9: el-9-extra-amd64 | el-9-amd64 | el-9-arm64\n\
             el/10: - | el-10-amd64 | -"
        );
        assert_eq!(drawn(&grid(&release, true)), "tug-image all\n:1.2.0: tug-image");
    }

    #[test]
    fn no_target_is_lost_where_two_have_one_place() {
        let release = release_of(&["jammy-amd64 ubuntu/jammy", "amd64-jammy ubuntu/jammy"]);
        assert_eq!(drawn(&grid(&release, false)), "tug amd64\nubuntu/jammy: jammy-amd64+amd64-jammy");
    }

    #[test]
    fn numbers_are_in_the_order_in_which_people_count() {
        for (one, other) in
            [("el/9", "el/10"), ("opensuse/15.5", "opensuse/15.10"), ("el/9", "ubuntu/jammy"), (":1.2.0", ":1.2.0-rc1")]
        {
            assert_eq!(natural(one, other), Ordering::Less, "{one} {other}");
            assert_eq!(natural(other, one), Ordering::Greater, "{other} {one}");
            assert_eq!(natural(one, one), Ordering::Equal, "{one}");
        }
    }

    #[test]
    fn a_matrix_is_shown_where_it_has_columns_and_can_be_overlooked() {
        let asked = |query: &str, targets: &[&str]| view(&release_of(targets), &Filter::from_query(query)).code();
        let wide = ["el-9-amd64 el/9", "el-9-arm64 el/9"];
        assert_eq!(asked("", &wide), "matrix");
        assert_eq!(asked("v=list", &wide), "list");
        assert_eq!(asked("", &wide[..1]), "list");
        assert_eq!(asked("v=matrix", &wide[..1]), "matrix");
        let many: Vec<String> = (0..201).map(|number| format!("tug-{number}-amd64 el/9")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!((asked("", &many[..200]), asked("", &many)), ("matrix", "list"));
    }
}
