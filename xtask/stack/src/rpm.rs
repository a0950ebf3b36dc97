//! Small, valid rpms, for the demo and for tests, made by the real `rpmbuild`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};

/// What a package says of itself, and what is in it.
#[derive(Clone, Debug)]
pub struct Rpm {
    /// `Name:`
    pub name: String,
    /// `Version:`
    pub version: String,
    /// `Release:`, such as `1.el9`.
    pub release: String,
    /// What it is built for: `x86_64`, `aarch64`, `armv7hl`, `noarch`; `src` makes the source package.
    pub architecture: String,
    /// `Epoch:`
    pub epoch: Option<u32>,
    /// The text of its one document, `/usr/share/doc/NAME/README`.
    pub contents: String,
}

impl Rpm {
    /// Whether this machine has `rpmbuild`.
    pub fn can_be_built_here() -> bool {
        Command::new("rpmbuild").arg("--version").output().is_ok_and(|answer| answer.status.success())
    }

    /// `harbour-tug-1.0.0-1.el9.x86_64.rpm`
    pub fn file_name(&self) -> String {
        format!("{}-{}-{}.{}.rpm", self.name, self.version, self.release, self.architecture)
    }

    /// The whole file. The same package always has the same bytes; only a source package names the folder where it was
    /// built.
    pub fn build(&self) -> anyhow::Result<Vec<u8>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("slipway-rpm-{}-{number}", std::process::id()));
        let built = self.build_in(&folder).with_context(|| format!("cannot build `{}`", self.file_name()));
        let _ = std::fs::remove_dir_all(&folder);
        built
    }

    fn build_in(&self, folder: &Path) -> anyhow::Result<Vec<u8>> {
        let Self { name, version, release, epoch, contents, .. } = self;
        std::fs::create_dir_all(folder.join("SOURCES"))?;
        std::fs::write(folder.join("SOURCES/README"), contents)?;
        let epoch = epoch.map_or_else(String::new, |epoch| format!("Epoch: {epoch}\n"));
        let spec = format!(
            "Name: {name}\nVersion: {version}\nRelease: {release}\n{epoch}Summary: shows how Slipway releases\n\
             License: MIT\nURL: https://example.com/{name}\nSource0: README\nAutoReqProv: no\n\
             Provides: {name}-papers = {version}\n\n\
             %description\nA package that shows how Slipway releases <packages> & more.\n\n\
             %install\ninstall -D -m 0644 %{{SOURCE0}} %{{buildroot}}/usr/share/doc/{name}/README\n\n\
             %files\n%dir /usr/share/doc/{name}\n/usr/share/doc/{name}/README\n\n\
             %changelog\n* Mon Nov 02 2026 Harbour <harbour@example.com> - {version}\n- Released.\n"
        );
        let spec_file = folder.join(format!("{name}.spec"));
        std::fs::write(&spec_file, spec)?;
        let (kind, target) = match self.architecture.as_str() {
            "src" => ("-bs", "x86_64"),
            other => ("-bb", other),
        };
        // Without the settings of this machine and user, without debug packages; equal input gives equal bytes.
        let answer = Command::new("rpmbuild")
            .args([kind, "--quiet", "--target", target])
            .args(["--define", &format!("_topdir {}", folder.display())])
            .args(["--define", "_buildhost build.example.com", "--define", "debug_package %{nil}"])
            .args(["--define", "__os_install_post %{nil}", "--define", "use_source_date_epoch_as_buildtime 1"])
            .args(["--define", "clamp_mtime_to_source_date_epoch 1", "--define", "_binary_payload w1.gzdio"])
            .args(["--dbpath", &folder.join("db").display().to_string()])
            .arg(&spec_file)
            .env("HOME", folder)
            .env("SOURCE_DATE_EPOCH", "1793577600")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .context("cannot start `rpmbuild`")?;
        ensure!(answer.status.success(), "`rpmbuild` failed:\n{}", String::from_utf8_lossy(&answer.stderr));
        let file: PathBuf = match self.architecture.as_str() {
            "src" => folder.join("SRPMS"),
            other => folder.join("RPMS").join(other),
        };
        Ok(std::fs::read(file.join(self.file_name()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rpmbuild` is Debian's package `rpm`; where it is missing there is nothing to build.
    #[test]
    fn the_same_package_has_the_same_bytes_and_rpm_reads_its_fields() {
        if !Rpm::can_be_built_here() {
            eprintln!("SKIPPED: this test needs `rpmbuild`, which is not installed");
            return;
        }
        for architecture in ["x86_64", "aarch64", "noarch", "src"] {
            let rpm = Rpm {
                name: "harbour-tug".to_owned(),
                version: "1.0.0~rc1".to_owned(),
                release: "1.el9".to_owned(),
                architecture: architecture.to_owned(),
                epoch: Some(2),
                contents: "Hello.\n".to_owned(),
            };
            let bytes = rpm.build().expect("rpmbuild builds it");
            let again = rpm.build().expect("rpmbuild builds it again");
            assert!(bytes == again || architecture == "src", "{architecture}: other bytes");
            let file = std::env::temp_dir().join(format!("slipway-rpm-read-{}-{architecture}", std::process::id()));
            std::fs::write(&file, &bytes).expect("the temporary folder can be written");
            let asked = Command::new("rpm")
                .args(["-qp", "--nosignature", "--qf", "%{NAME} %{EPOCH} %{VERSION} %{RELEASE}"])
                .arg(&file)
                .output()
                .expect("rpm is where rpmbuild is");
            assert_eq!(String::from_utf8_lossy(&asked.stdout), "harbour-tug 2 1.0.0~rc1 1.el9");
            std::fs::remove_file(&file).expect("it was made above");
        }
    }
}
