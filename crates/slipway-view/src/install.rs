//! How a person installs a released package, or pulls a released image.

use slipway_core::api::{Package, Target};
use slipway_core::cargo::registry_name;

use crate::text::link;

/// The lines that pull a released image: under its tag, and as exactly what was released. `None` when a name in it could
/// mean something to a shell.
pub(crate) fn pull(package: &Package, target: &Target) -> Option<String> {
    let (file, tag) = (package.file.as_ref()?, target.tag.as_deref()?);
    let image = format!("{}/{}", registry_name(&target.public.url), target.public.repository);
    let is_plain_name =
        image.starts_with(|first: char| first.is_ascii_alphanumeric()) && image.bytes().all(is_plain_in_address);
    (is_plain_name && is_plain(tag)).then(|| format!("docker pull {image}:{tag}\ndocker pull {image}@{}", file.digest))
}

/// The lines that install a released file where it was released for, whichever program does that there.
pub(crate) fn package(package: &Package, target: &Target) -> Option<String> {
    apt(package, target).or_else(|| rpm(package, target))
}

/// The lines that install a released deb on the distro it was released for. `None` when it is no deb, or when a name in
/// it could mean something to a shell: the lines are there to be copied.
fn apt(package: &Package, target: &Target) -> Option<String> {
    let name = package.file.as_ref()?.filename.strip_suffix(".deb")?.split('_').next()?;
    let (os, codename) = target.distro.split_once('/')?;
    let (user, repository) = target.public.repository.split_once('/')?;
    let address = link(&target.public.url)?.trim_end_matches('/');
    if ![name, os, codename, user, repository].into_iter().all(is_plain) || !address.bytes().all(is_plain_in_address) {
        return None;
    }
    let keyring = format!("/etc/apt/keyrings/{user}_{repository}.asc");
    Some(format!(
        "sudo curl -fsSL {address}/{user}/{repository}/gpgkey -o {keyring}\n\
         echo \"deb [signed-by={keyring}] {address}/{user}/{repository}/{os}/ {codename} main\" \\\n  \
         | sudo tee /etc/apt/sources.list.d/{user}_{repository}.list\n\
         sudo apt-get update && sudo apt-get install {name}"
    ))
}

/// The lines that install a released rpm: with `zypper` where that is what there is, and else with `dnf`. `None` when it is no
/// rpm, or when a name in it could mean something to a shell.
fn rpm(package: &Package, target: &Target) -> Option<String> {
    // NAME-VERSION-RELEASE.ARCH.rpm: a name may have a dash, the other two have none.
    let named = package.file.as_ref()?.filename.strip_suffix(".rpm")?;
    let name = named.rsplitn(3, '-').nth(2)?;
    let (os, version) = target.distro.split_once('/')?;
    let (user, repository) = target.public.repository.split_once('/')?;
    let address = link(&target.public.url)?.trim_end_matches('/');
    let has_zypper = ["opensuse", "sles"].contains(&os);
    let (folder, refreshed, program) =
        if has_zypper { ("/etc/zypp/repos.d", "autorefresh=1\n", "zypper") } else { ("/etc/yum.repos.d", "", "dnf") };
    let is_safe =
        [name, os, version, user, repository].into_iter().all(is_plain) && address.bytes().all(is_plain_in_address);
    is_safe.then(|| {
        format!(
            "sudo tee {folder}/{user}_{repository}.repo <<'END'\n\
             [{user}_{repository}]\n\
             name={user}/{repository}\n\
             baseurl={address}/{user}/{repository}/{os}/{version}/$basearch\n\
             repo_gpgcheck=1\n\
             gpgcheck=0\n\
             gpgkey={address}/{user}/{repository}/gpgkey\n\
             {refreshed}\
             END\n\
             sudo {program} install {name}"
        )
    })
}

/// Debian's rules for package names, and packagecloud's for the rest, in one.
fn is_plain(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte))
}

fn is_plain_in_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":/.-_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use crate::section::tests::{image, release};

    #[test]
    fn an_image_is_pulled_by_its_tag_or_as_exactly_what_was_released() {
        let mut release = image("released");
        let package = &release.packages[0];
        let digest = "ab".repeat(32);
        let lines = super::pull(package, &package.targets[0]).expect("an image");
        assert_eq!(
            lines,
            format!(
                "docker pull registry.example/team/app:1.2.0\ndocker pull registry.example/team/app@sha256:{digest}"
            )
        );
        assert_eq!(super::apt(package, &package.targets[0]), None);

        // Docker Hub's API has another name than its images.
        release.packages[0].targets[0].public.url = "https://registry-1.docker.io".into();
        let package = &release.packages[0];
        let lines = super::pull(package, &package.targets[0]).expect("an image");
        assert!(lines.starts_with("docker pull docker.io/team/app:1.2.0\n"), "{lines}");
    }

    #[test]
    fn nothing_that_a_shell_would_run_is_offered_for_pulling() {
        for (url, repository, tag) in [
            ("https://registry.example/`reboot`", "team/app", "1.2.0"),
            ("https://$(reboot)", "team/app", "1.2.0"),
            ("https://registry.example", "team/$(reboot)", "1.2.0"),
            ("https://registry.example", "team/app", "1;reboot"),
            ("https://registry.example", "team/app", "-v"),
        ] {
            let mut release = image("released");
            let target = &mut release.packages[0].targets[0];
            (target.public.url, target.public.repository) = (url.into(), repository.into());
            target.tag = Some(tag.into());
            let package = &release.packages[0];
            let lines = super::pull(package, &package.targets[0]);
            // What is left out of a name is harmless; what is in one is not.
            assert!(
                lines.is_none_or(|lines| !lines.contains("reboot") && !lines.contains("-v")),
                "{url} {repository} {tag}"
            );
        }
    }

    #[test]
    fn an_rpm_is_installed_by_dnf_from_the_repository_of_its_distro() {
        let mut release = release("released");
        let package = &mut release.packages[0];
        package.file.as_mut().expect("a staged file").filename = "tug-tools-1.2.0-1.el9.x86_64.rpm".into();
        package.targets[0].distro = "el/9".into();
        // As packagecloud's own `config_file.repo` has it: the index is signed by the repository's key, the packages are not.
        let expected = "sudo tee /etc/yum.repos.d/harbour_stable.repo <<'END'\n[harbour_stable]\nname=harbour/stable\n\
                        baseurl=https://packages.example/harbour/stable/el/9/$basearch\nrepo_gpgcheck=1\ngpgcheck=0\n\
                        gpgkey=https://packages.example/harbour/stable/gpgkey\nEND\nsudo dnf install tug-tools";
        assert_eq!(super::rpm(package, &package.targets[0]).as_deref(), Some(expected));
        assert_eq!(super::apt(package, &package.targets[0]), None);

        for (filename, distro, repository) in [
            ("tug_1.2.0_amd64.deb", "el/9", "harbour/stable"),
            ("tug.rpm", "el/9", "harbour/stable"),
            ("$(reboot)-1-1.el9.x86_64.rpm", "el/9", "harbour/stable"),
            ("-oDir=x-1-1.el9.x86_64.rpm", "el/9", "harbour/stable"),
            ("tug-1-1.el9.x86_64.rpm", "el/9\nEND\nreboot", "harbour/stable"),
            ("tug-1-1.el9.x86_64.rpm", "el/9", "harbour/st\nEND\nreboot"),
        ] {
            package.file.as_mut().expect("a staged file").filename = filename.into();
            package.targets[0].distro = distro.into();
            package.targets[0].public.repository = repository.into();
            assert_eq!(super::rpm(package, &package.targets[0]), None, "{filename} {distro} {repository}");
        }
    }

    #[test]
    fn on_opensuse_an_rpm_is_installed_by_zypper() {
        let mut release = release("released");
        let package = &mut release.packages[0];
        package.file.as_mut().expect("a staged file").filename = "tug-1.2.0-1.x86_64.rpm".into();
        for distro in ["opensuse/15.6", "sles/15.6"] {
            package.targets[0].distro = distro.into();
            // libzypp reads such a file from its own folder: the same words, and that it is to be read again by itself.
            let expected = format!(
                "sudo tee /etc/zypp/repos.d/harbour_stable.repo <<'END'\n[harbour_stable]\nname=harbour/stable\n\
                 baseurl=https://packages.example/harbour/stable/{distro}/$basearch\nrepo_gpgcheck=1\ngpgcheck=0\n\
                 gpgkey=https://packages.example/harbour/stable/gpgkey\nautorefresh=1\nEND\nsudo zypper install tug"
            );
            assert_eq!(super::package(package, &package.targets[0]).as_deref(), Some(expected.as_str()));
        }
    }

    #[test]
    fn the_repository_is_trusted_by_its_own_key_alone() {
        let release = release("released");
        let package = &release.packages[0];
        let lines = super::apt(package, &package.targets[0]).expect("a deb");
        assert!(
            lines.contains(
                "deb [signed-by=/etc/apt/keyrings/harbour_stable.asc] https://packages.example/harbour/stable/ubuntu/ jammy main"
            ),
            "{lines}"
        );
        assert!(lines.ends_with("apt-get install tug"), "{lines}");
    }

    #[test]
    fn nothing_that_a_shell_would_run_is_offered_for_copying() {
        let mut release = release("released");
        let package = &mut release.packages[0];
        for hostile in ["$(reboot)_1_amd64.deb", "-oDir=x_1_amd64.deb", "a b_1.deb", "tug_1.rpm"] {
            package.file.as_mut().expect("a staged file").filename = hostile.into();
            assert_eq!(super::apt(package, &package.targets[0]), None, "{hostile}");
        }
        package.file.as_mut().expect("a staged file").filename = "tug_1_amd64.deb".into();
        package.targets[0].public.url = "https://packages.example/`reboot`".into();
        assert_eq!(super::apt(package, &package.targets[0]), None);
    }
}
