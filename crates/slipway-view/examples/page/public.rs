//! What strangers see, to look at.

use slipway_core::api::{PublicProject, PublicRelease, PublicSummary, Release};
use slipway_core::line::{Line, What};
use slipway_core::sight;
use slipway_view::page::{self, Reader, public};

use crate::Fixture;
use crate::data::{judged, patch_day};

pub(super) fn fixtures() -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let release = judged(patch_day())?;
    let reader = Reader { may_sign_in: true, ..Reader::default() };
    [
        ("public", "/p/tug/r/1.2.0?public"),
        ("public-target", "/p/tug/r/1.2.0/t/tug-debian-bookworm-amd64/debian/bookworm?public"),
        ("public-releases", "/p/tug?public"),
        ("public-projects", "/?public"),
        ("line", "/p/tug/is/1.2.0/el/9/arm64"),
    ]
    .into_iter()
    .map(|(name, path)| Ok(Fixture::new(name, path, page(name, &release, &reader).ok_or("a page")?)))
    .collect()
}

/// A page of what is public of a release, by its name. None: it is no such page.
fn page(name: &str, release: &Release, reader: &Reader<'_>) -> Option<maud::Markup> {
    let seen: PublicRelease = sight::public(release)?;
    let summary = PublicSummary {
        version: seen.version.clone(),
        verdict: seen.verdict.clone(),
        packages: u32::try_from(seen.packages.len()).ok()?,
        at: seen.at.clone(),
    };
    let project = PublicProject { name: seen.project.name.clone() };
    Some(match name {
        "public" => public::release(&seen, reader),
        "public-target" => {
            let package = seen.packages.first()?;
            let target = sight::target(&seen, &package.key, &package.targets.first()?.name())?;
            public::target(&seen, &target, reader)
        }
        "public-releases" => public::releases(&project.name, &[summary], reader),
        "public-projects" => public::projects(&[(project, vec![summary])], reader),
        "line" => {
            let what = What::read(&["el", "9", "arm64"])?;
            let line = Line::of_public(&what, Some(&seen), "https://slipway.example.com/p/tug/r/1.2.0");
            page::line(&project.name, &seen.version, &what, &line, reader)
        }
        _ => return None,
    })
}
