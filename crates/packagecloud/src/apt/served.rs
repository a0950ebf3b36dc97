//! "What does the public index serve under this name?"

use std::collections::BTreeSet;

use slipway_wire::{Base, CallError, Digest, Http, Token};

use crate::index::{Index, Reading, read_index};
use crate::{Distro, Filename, PackageKind, Repository};

/// The APT index of one repository for one distro version.
#[derive(Clone, Copy, Debug)]
pub struct Suite<'a> {
    /// The installation.
    pub base: &'a Base,
    /// The repository.
    pub repository: &'a Repository,
    /// The distro version; its version is APT's codename.
    pub distro: &'a Distro,
    /// For private repositories: a read token, or an account's token. It is sent to the installation alone.
    pub credential: Option<&'a Token>,
    /// Where the installation may redirect to, beside itself.
    pub storage: &'a [Base],
}

/// What an index says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// It serves the file with these bytes.
    Digest(Digest),
    /// It lists the name more than once, with different bytes. Which ones a machine gets is open.
    Several(BTreeSet<Digest>),
    /// It does not list the file, or there is no index yet.
    NotListed,
    /// It is just being replaced: its parts do not belong together. Look again.
    InMotion,
}

/// Reads the suite's index back and says which bytes it serves under the file's name.
pub async fn served(http: &impl Http, suite: &Suite<'_>, filename: &Filename) -> Result<Served, CallError> {
    let architecture = filename.deb_architecture().ok_or_else(|| {
        CallError::Unsendable(format!("`{filename}` names no architecture: `name_version_architecture.deb` is needed"))
    })?;
    let Suite { base, repository, distro, credential, storage } = *suite;
    let index = Index { base, repository, distro, kind: PackageKind::Deb, architecture, credential, storage };
    let mut found = match read_index(http, &index, None, &[filename.clone()].into()).await? {
        Reading::Listed { found, .. } => found,
        Reading::InMotion => return Ok(Served::InMotion),
        Reading::Absent | Reading::Unchanged(_) => return Ok(Served::NotListed),
    };
    let digests = found.remove(filename).unwrap_or_default();
    let mut rest = digests.iter();
    Ok(match (rest.next(), rest.next()) {
        (None, _) => Served::NotListed,
        (Some(digest), None) => Served::Digest(*digest),
        _ => Served::Several(digests),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use slipway_wire::Response;

    use super::*;
    use crate::fake::{Recorded, base, filename, jammy, now, response, with_header};

    const DISTS: &str = "https://packages.example.com/harbour/stable/ubuntu/dists/jammy";

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory takes bytes");
        encoder.finish().expect("memory takes bytes")
    }

    fn digest(digit: char) -> Digest {
        digit.to_string().repeat(64).parse().expect("64 hex digits")
    }

    /// A `Packages` file with these packages: `name digit`, a line each.
    fn packages(list: &str) -> String {
        let stanza = |line: &str| {
            let (name, digit) = line.split_once(' ').expect("a name and a digit");
            format!("Package: x\nFilename: pool/jammy/main/x/{name}\nSHA256: {}\n\n", digit.repeat(64))
        };
        list.lines().map(stanza).collect()
    }

    /// A `Release` file that names these files.
    fn release(files: &[(&str, &[u8])]) -> String {
        let line = |(path, bytes): &(&str, &[u8])| format!(" {} {} {path}\n", Digest::of(bytes).hex(), bytes.len());
        let lines: Vec<_> = files.iter().map(line).collect();
        format!("Architectures: amd64 arm64\nSHA256:\n{}", lines.concat())
    }

    /// A suite whose `InRelease` names `files`, and which serves them.
    fn suite_of(files: &[(&str, &[u8])]) -> Recorded {
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}-----BEGIN PGP SIGNATURE-----\n",
            release(files)
        );
        let http = Recorded::default().with(&format!("{DISTS}/InRelease"), response(200, signed));
        files.iter().fold(http, |http, (path, bytes)| http.with(&format!("{DISTS}/{path}"), response(200, *bytes)))
    }

    fn ask_with(http: &Recorded, name: &str, credential: Option<&Token>) -> Result<Served, CallError> {
        let (base, storage) = (base("https://packages.example.com"), [base("https://storage.example.net")]);
        let repository = "harbour/stable".parse().expect("a repository");
        let suite = Suite { base: &base, repository: &repository, distro: &jammy(), credential, storage: &storage };
        now(served(http, &suite, &filename(name)))
    }

    fn ask(http: &Recorded, name: &str) -> Result<Served, CallError> {
        ask_with(http, name, None)
    }

    #[test]
    fn a_served_file_is_proven_from_release_to_package() {
        let index = gzip(&packages("tug_1_amd64.deb a\npilot_2_amd64.deb b"));
        let http = suite_of(&[("main/binary-amd64/Packages.gz", &index)]);
        assert_eq!(ask(&http, "pilot_2_amd64.deb").expect("an index"), Served::Digest(digest('b')));
        assert_eq!(
            http.asked(),
            [format!("GET {DISTS}/InRelease"), format!("GET {DISTS}/main/binary-amd64/Packages.gz")]
        );
        assert_eq!(http.trusted(), [""; 0]);
        assert_eq!(ask(&http, "tug_2_amd64.deb").expect("an index"), Served::NotListed);
        assert_eq!(ask(&http, "tug_1_arm64.deb").expect("no such index"), Served::NotListed);
    }

    #[test]
    fn a_file_for_all_architectures_is_proven_by_the_first_index() {
        let index = gzip(&packages("doc_1_all.deb a"));
        let http = suite_of(&[("main/binary-arm64/Packages.gz", &index)]);
        assert_eq!(ask(&http, "doc_1_all.deb").expect("an index"), Served::Digest(digest('a')));
    }

    #[test]
    fn a_name_with_two_contents_is_no_proof() {
        let index = gzip(&packages("tug_1_amd64.deb a\ntug_1_amd64.deb b"));
        let http = suite_of(&[("main/binary-amd64/Packages.gz", &index)]);
        let both = Served::Several([digest('a'), digest('b')].into());
        assert_eq!(ask(&http, "tug_1_amd64.deb").expect("an index"), both);
    }

    #[test]
    fn plain_files_do_where_the_others_are_absent() {
        let index = packages("tug_1_amd64.deb a");
        let files = [("main/binary-amd64/Packages", index.as_bytes())];
        let http = Recorded::default()
            .with(&format!("{DISTS}/Release"), response(200, release(&files)))
            .with(&format!("{DISTS}/main/binary-amd64/Packages"), response(200, index.clone()));
        assert_eq!(ask(&http, "tug_1_amd64.deb").expect("an index"), Served::Digest(digest('a')));
        // Named by the Release file, and not there.
        let both = [files[0], ("main/binary-amd64/Packages.gz", b"gone")];
        let http = http.with(&format!("{DISTS}/Release"), response(200, release(&both)));
        assert_eq!(ask(&http, "tug_1_amd64.deb").expect("an index"), Served::Digest(digest('a')));
    }

    #[test]
    fn a_suite_without_an_index_serves_nothing() {
        assert_eq!(ask(&Recorded::default(), "tug_1_amd64.deb").expect("404"), Served::NotListed);
        assert_eq!(ask(&suite_of(&[]), "tug_1_amd64.deb").expect("an empty one"), Served::NotListed);
    }

    #[test]
    fn an_index_that_is_not_the_releases_is_in_motion() {
        let (old, new) = (gzip(&packages("tug_1_amd64.deb a")), gzip(&packages("tug_1_amd64.deb b\nx.deb c")));
        let path = "main/binary-amd64/Packages.gz";
        for other in [new.as_slice(), &[], b"<html>", &old[..old.len() - 1], &[old.clone(), old.clone()].concat()] {
            let http = suite_of(&[(path, &old)]).with(&format!("{DISTS}/{path}"), response(200, other));
            assert_eq!(ask(&http, "tug_1_amd64.deb").expect("an index"), Served::InMotion, "{other:?}");
        }
        let http = suite_of(&[(path, &old)]).with(&format!("{DISTS}/{path}"), response(404, ""));
        assert_eq!(ask(&http, "tug_1_amd64.deb").expect("an index"), Served::InMotion);
    }

    #[test]
    fn an_index_that_the_release_vouches_for_and_nobody_can_read_is_an_error() {
        let whole = gzip(&packages("tug_1_amd64.deb a"));
        for index in [&whole[..whole.len() - 1], b"no gzip", &gzip("Filename: tug_1_amd64.deb\n")] {
            let http = suite_of(&[("main/binary-amd64/Packages.gz", index)]);
            let error = ask(&http, "tug_1_amd64.deb").expect_err("broken").to_string();
            assert!(error.contains("harbour/stable for ubuntu/jammy: in main/binary-amd64/Packages.gz"), "{error}");
        }
    }

    #[test]
    fn a_private_index_is_read_with_a_credential_that_stays_at_home() {
        let index = gzip(&packages("tug_1_amd64.deb a"));
        let path = "main/binary-amd64/Packages.gz";
        let signed = "https://storage.example.net/x?t=s1gned";
        let http = suite_of(&[(path, &index)])
            .with(&format!("{DISTS}/{path}"), with_header(302, "location", signed, ""))
            .with(signed, response(200, index.clone()));
        let answer = ask_with(&http, "tug_1_amd64.deb", Some(&Token::new("t0k3n")));
        assert_eq!(answer.expect("an index"), Served::Digest(digest('a')));
        assert_eq!(http.trusted(), ["packages.example.com", "packages.example.com"]);
        assert_eq!(http.asked().len(), 3);
    }

    #[test]
    fn redirects_lead_to_configured_hosts_only() {
        let to = |location: &str| {
            let moved = with_header(302, "location", location, "");
            ask(&Recorded::default().with(&format!("{DISTS}/InRelease"), moved), "tug_1_amd64.deb")
        };
        for location in
            ["https://evil.test/x?t=s1gned", "//evil.test/x", "http://packages.example.com/x", "elsewhere", ""]
        {
            let error = to(location).expect_err(location).to_string();
            assert!(error.contains("not among the configured hosts") && !error.contains("s1gned"), "{error}");
        }
        let error = to(&format!("{DISTS}/InRelease")).expect_err("a circle").to_string();
        assert!(error.contains("more than 3 times"), "{error}");
        let error = to("/harbour/stable/ubuntu/dists/jammy/InRelease").expect_err("a circle").to_string();
        assert!(error.contains("more than 3 times"), "{error}");
    }

    #[test]
    fn a_refusal_is_not_an_absence() {
        let refusing = |answer: Response| Recorded::default().with(&format!("{DISTS}/InRelease"), answer);
        for status in [401, 402, 403, 429, 500, 503] {
            let error = ask(&refusing(response(status, "no")), "tug_1_amd64.deb").expect_err("a refusal");
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        }
        let storage = "https://storage.example.net/x?t=s1gned";
        let http = refusing(with_header(302, "location", storage, "")).with(storage, response(403, storage));
        let error = ask(&http, "tug_1_amd64.deb").expect_err("a refusal").to_string();
        assert!(error.contains("storage.example.net") && !error.contains("s1gned"), "{error}");
    }

    #[test]
    fn a_release_file_has_an_end() {
        let endless = "SHA256:\n".repeat(600_000);
        let http = Recorded::default().with(&format!("{DISTS}/InRelease"), response(200, endless));
        let error = ask(&http, "tug_1_amd64.deb").expect_err("too long").to_string();
        assert!(error.contains("more than 4194304 bytes"), "{error}");
    }

    #[test]
    fn a_file_without_an_architecture_is_not_looked_for() {
        let http = Recorded::default();
        let error = ask(&http, "tug-1.x86_64.rpm").expect_err("no deb").to_string();
        assert!(error.contains("`tug-1.x86_64.rpm` names no architecture"), "{error}");
        assert_eq!(http.asked(), [""; 0]);
    }
}
