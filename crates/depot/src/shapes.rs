//! Packages as packagecloud's JSON has them. All addresses are paths from the root of the host, `download_url` alone
//! is absolute.

use serde_json::{Map, Value, json};

use crate::depot::Depot;
use crate::names::Repository;
use crate::package::About;
use crate::query::path_part;
use crate::store::Held;

/// What a client sees of a package.
pub(crate) struct Shape<'a> {
    pub(crate) depot: &'a Depot,
    pub(crate) held: &'a Held,
    pub(crate) private: bool,
    /// After a promotion `promote_url` still names the source, as recorded.
    pub(crate) promoted_from: Option<&'a Repository>,
}

impl Shape<'_> {
    /// The short form, of lists and searches.
    pub(crate) fn fragment(&self) -> Value {
        let mut shape = self.common();
        shape.insert("type".to_owned(), self.held.package.about.kind().into());
        Value::Object(shape)
    }

    /// The long form, of a single package and of accepted writes.
    pub(crate) fn details(&self) -> Value {
        let package = &self.held.package;
        let base = self.base();
        let relations = package.about.relations();
        let dependencies: Vec<Value> = relations
            .into_iter()
            .map(|(context, dependencies)| json!({"context": context, "dependencies": dependencies}))
            .collect();
        let (summary, description, licenses) = match &package.about {
            About::Deb(control) => (Value::Null, Value::from(control.field("Description")), json!([])),
            About::Rpm(rpm) => (rpm.summary.clone().into(), rpm.description.clone().into(), json!([rpm.license])),
        };
        let more = json!({
            "repository": package.repository.name(),
            "size": package.sums.size.to_string(),
            "summary": summary,
            "description": description,
            "dependencies": if dependencies.is_empty() { Value::Null } else { dependencies.into() },
            "md5sum": package.sums.md5,
            "sha1sum": package.sums.sha1,
            "sha512sum": package.sums.sha512,
            "licenses": licenses,
            "total_downloads_count": self.held.downloads,
            "repository_url": format!("/api/v1/repos/{}", package.repository),
            "versions_url": format!("{base}/versions.json"),
            "self_url": self.package_url(),
        });
        let mut shape = self.common();
        if let Value::Object(more) = more {
            shape.extend(more);
        }
        Value::Object(shape)
    }

    /// `…/package/deb/ubuntu/jammy/tug/amd64`: what all versions of a package have in common.
    fn base(&self) -> String {
        let package = &self.held.package;
        let (kind, name) = (package.about.kind(), path_part(package.about.name()));
        let architecture = package.about.architecture();
        format!("/api/v1/repos/{}/package/{kind}/{}/{name}/{architecture}", package.repository, package.distro)
    }

    fn version_path(&self) -> String {
        format!("{}/{}", self.base(), self.held.package.about.version_path())
    }

    fn package_url(&self) -> String {
        format!("{}.json", self.version_path())
    }

    fn common(&self) -> Map<String, Value> {
        let package = &self.held.package;
        let (repository, distro) = (&package.repository, &package.distro);
        let file = path_part(&package.filename);
        let html = format!("/{repository}/packages/{distro}/{file}");
        let mut download = format!("{}{html}/download.{}", self.depot.url, package.about.kind());
        if self.private {
            download = format!("{download}?read_token={}", self.depot.store.secret.read_token(repository));
        }
        let promote_from = self.promoted_from.unwrap_or(repository);
        let statistics = format!("{}/stats/downloads", self.version_path());
        let shape = json!({
            "name": package.about.name(),
            "distro_version": distro,
            "created_at": package.created_at,
            "version": package.about.version(),
            "release": package.about.release(),
            "epoch": package.about.epoch(),
            "scope": null,
            "architecture": package.about.architecture(),
            "private": self.private,
            "filename": package.filename,
            "uploader_name": package.uploader,
            "indexed": self.held.indexed,
            "sha256sum": package.sums.sha256,
            "repository_html_url": format!("/{repository}"),
            "package_url": self.package_url(),
            "downloads_detail_url": format!("{statistics}/detail.json"),
            "downloads_series_url": format!("{statistics}/series/daily.json"),
            "downloads_count_url": format!("{statistics}/count.json"),
            "package_html_url": html,
            "download_url": download,
            "promote_url": format!("/api/v1/repos/{promote_from}/{distro}/{file}/promote.json"),
            "destroy_url": format!("/api/v1/repos/{repository}/{distro}/{file}"),
        });
        match shape {
            Value::Object(shape) => shape,
            _ => Map::new(),
        }
    }
}
