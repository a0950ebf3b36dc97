//! What must be true of images.
//!
//! The digest that a tag was set to is in no log. So what others set is counted: of the digests that a tag has led to, as many as
//! others have set may be theirs.

use std::collections::BTreeSet;

use crate::Image;
use crate::registry::Push;
use crate::rules::{Evidence, SKEW_MS, Said, Story, is_told_of};

/// What is known of one tag.
struct Tag<'a> {
    repository: &'a str,
    name: &'a str,
    /// Whether an approval names it. Another one floats.
    is_final: bool,
    /// How often Slipway has set it, and when.
    own: Vec<&'a Push>,
    /// How often others have.
    others: usize,
    /// Every digest to which it leads, or has led.
    digests: BTreeSet<&'a str>,
    /// What anybody gets.
    served: Option<&'a Image>,
}

/// Everything about images that must not be.
pub(crate) fn judge_images(evidence: &Evidence, story: &Story, find: &mut impl FnMut(&'static str, String)) {
    for tag in tags(evidence, story) {
        let shown = format!("{}:{}", tag.repository, tag.name);
        if !tag.own.is_empty() {
            judge_own(evidence, &tag, &shown, story, find);
        }
        judge_floating(&tag, &shown, story, find);
        judge_order(evidence, &tag, &shown, find);
        judge_withdrawn(&tag, &shown, story, find);
    }
    for push in evidence.pushes.iter().filter(|push| !push.adds && evidence.is_own(push)) {
        if push.is_blob {
            find("blob", format!("{}: the blob {} was deleted, which others may need", push.repository, push.name));
        } else if !is_told(evidence, story, push) {
            find("unspoken", format!("{}: {} was deleted, and no audit says why", push.repository, push.name));
        }
    }
    for said in story.released.iter().filter(|said| said.is_image) {
        judge_claim(evidence, story, said, find);
    }
}

/// Whether the audit says why something was deleted.
fn is_told(evidence: &Evidence, story: &Story, push: &Push) -> bool {
    if evidence.public_images.contains(&push.repository) {
        return is_told_of_public(evidence, story, push);
    }
    // In staging an image that was declared is deleted when a row says so. Its parts are named by nobody.
    let digest = push.name.trim_start_matches("sha256:");
    !story.declared.contains(digest) || is_told_of(&evidence.audits, &["delet", "replaced"], digest)
}

/// Whether the audit says why something public was deleted. It names the final tag and the image: with that go floating tags that led
/// there and have nowhere else to lead, and parts. Those Slipway must have brought itself, or whoever published an image by hand that
/// then counted as released outside.
fn is_told_of_public(evidence: &Evidence, story: &Story, push: &Push) -> bool {
    let told = |what: &str| is_told_of(&evidence.audits, &["withdr"], what);
    let brought = || {
        let mut pushes = evidence.pushes.iter();
        pushes.any(|of| of.adds && evidence.is_own(of) && of.repository == push.repository && of.name == push.name)
    };
    match push.name.strip_prefix("sha256:") {
        Some(digest) => told(digest) || (told("") && brought()) || came_from_outside(evidence, story, push),
        None if story.names_tag(&push.name) => told(&push.name),
        None => told("") && brought(),
    }
}

/// Whether something is a part of an image that was released outside and taken back: whoever set its tag by hand has sent it right
/// before, as programs do that copy an image.
fn came_from_outside(evidence: &Evidence, story: &Story, part: &Push) -> bool {
    let is_outside = |gone: &&Said| {
        let mut released = story.released.iter().filter(|said| said.is_image && said.outside);
        gone.is_image && released.any(|said| said.under == gone.under && said.digest == gone.digest)
    };
    let gone: BTreeSet<&str> = story.withdrawn.iter().filter(is_outside).map(|gone| gone.under.as_str()).collect();
    let by_hand = evidence.pushes.iter().filter(|push| push.adds && !evidence.is_own(push));
    let mut sent = BTreeSet::new();
    for push in by_hand.filter(|push| push.repository == part.repository) {
        if push.name.starts_with("sha256:") {
            sent.insert(&push.name);
        } else if gone.contains(push.name.as_str()) && sent.contains(&part.name) {
            return true;
        } else {
            sent.clear();
        }
    }
    false
}

fn tags<'a>(evidence: &'a Evidence, story: &Story) -> Vec<Tag<'a>> {
    let served = evidence.images.iter().map(|image| (image.repository.as_str(), image.tag.as_str()));
    let led = evidence.tagged.iter().map(|tagged| (tagged.repository.as_str(), tagged.tag.as_str()));
    let set = evidence.pushes.iter().filter(|push| !push.name.starts_with("sha256:"));
    let set = set.map(|push| (push.repository.as_str(), push.name.as_str()));
    let names: BTreeSet<(&str, &str)> =
        served.chain(led).chain(set).filter(|(repository, _)| evidence.public_images.contains(*repository)).collect();
    let tag = |(repository, name): (&'a str, &'a str)| {
        let pushes =
            evidence.pushes.iter().filter(|push| push.adds && push.repository == repository && push.name == name);
        let (own, others): (Vec<_>, Vec<_>) = pushes.partition(|push| evidence.is_own(push));
        let served = evidence.images.iter().find(|image| image.repository == repository && image.tag == name);
        let led = evidence.tagged.iter().filter(|tagged| tagged.repository == repository && tagged.tag == name);
        let digests =
            led.map(|tagged| tagged.digest.as_str()).chain(served.map(|image| image.digest.as_str())).collect();
        Tag { repository, name, is_final: story.names_tag(name), own, others: others.len(), digests, served }
    };
    names.into_iter().map(tag).collect()
}

/// A tag that Slipway has set leads to what was approved, and a final one to one image alone.
fn judge_own(
    evidence: &Evidence,
    tag: &Tag<'_>,
    shown: &str,
    story: &Story,
    find: &mut impl FnMut(&'static str, String),
) {
    let approved = || story.approved.iter().filter(|said| said.is_image);
    // What stands beside an image, or a part of one, is under a tag that is made of its digest.
    if let Some(beside) = tag.name.strip_prefix("sha256-") {
        let parts = evidence.images.iter().filter(|image| approved().any(|said| said.digest == image.digest));
        let mut may = approved().map(|said| &said.digest).chain(parts.flat_map(|image| &image.parts));
        // Of an image that was taken back the parts are not known any more.
        if story.withdrawn.is_empty() && !may.any(|digest| beside.starts_with(digest.as_str())) {
            find("unapproved", format!("{shown} stands beside an image that nobody approved"));
        }
        return;
    }
    let may = |said: &&Said| !tag.is_final || said.under == tag.name;
    let wrong: Vec<_> =
        tag.digests.iter().filter(|digest| !approved().filter(may).any(|said| said.digest == **digest)).collect();
    if wrong.len() > tag.others {
        find("unapproved", format!("{shown} has led to {wrong:?}, which nobody approved for it"));
    }
    if tag.is_final && tag.digests.len() > 1 + tag.others {
        find("changed", format!("{shown} is final, and has led to {:?}", tag.digests));
    }
    let first = tag.own.iter().map(|push| push.at_ms).min().unwrap_or(i64::MAX);
    if approved().filter(may).map(|said| said.at_ms).min().is_some_and(|at_ms| at_ms > first + SKEW_MS) {
        find("too-early", format!("{shown} was set before an image was approved for it"));
    }
    let leads_to_released =
        |image: &Image| story.released.iter().any(|said| said.is_image && said.digest == image.digest);
    if let Some(image) = tag.served
        && !tag.is_final
        && tag.others == 0
        && wrong.is_empty()
        && !leads_to_released(image)
    {
        find("unreleased", format!("{shown} floats to {}, which is not released", image.digest));
    }
}

/// Each time that Slipway has set a floating tag, a row says from what to what. An image that is approved and not released may
/// have its row yet to come.
fn judge_floating(tag: &Tag<'_>, shown: &str, story: &Story, find: &mut impl FnMut(&'static str, String)) {
    if tag.is_final || tag.own.is_empty() || tag.name.starts_with("sha256-") {
        return;
    }
    let told: Vec<_> = story.floated.iter().filter(|floated| floated.tag == tag.name).collect();
    let is_released = |said: &&Said| {
        let mut released = story.released.iter();
        released.any(|of| of.is_image && of.under == said.under && of.digest == said.digest)
    };
    let pending = story.approved.iter().filter(|said| said.is_image && !is_released(said)).count();
    let unknown = story.untold + pending;
    let named = |digest: &&&str| told.iter().any(|floated| floated.digests.iter().any(|of| of == **digest));
    let unnamed: Vec<_> = tag.digests.iter().filter(|digest| !named(digest)).collect();
    if tag.own.len() > told.len() + unknown {
        find("unspoken", format!("{shown} was set {} times, and rows tell of {}", tag.own.len(), told.len()));
    } else if unnamed.len() > tag.others + unknown {
        find("unspoken", format!("{shown} has led to {unnamed:?}, and no row says so"));
    }
}

/// A final tag is set once, and never over what is there.
fn judge_order(evidence: &Evidence, tag: &Tag<'_>, shown: &str, find: &mut impl FnMut(&'static str, String)) {
    if !tag.is_final {
        return;
    }
    let mut there: Option<&Push> = None;
    for push in evidence.pushes.iter().filter(|push| push.repository == tag.repository) {
        if push.adds && push.name == tag.name {
            if let Some(before) = there.replace(push)
                && evidence.is_own(push)
            {
                let how = if evidence.is_own(before) { "twice" } else { "overwritten" };
                find(how, format!("{shown} is final, and was set over what was there"));
            }
        } else if !push.adds && !push.is_blob && (push.name == tag.name || push.name.starts_with("sha256:")) {
            // Which tags led to a manifest that was deleted is not known: all of them may have.
            there = None;
        }
    }
}

/// What was taken back is not served, under its own tag or one that floats, and is not published again.
fn judge_withdrawn(tag: &Tag<'_>, shown: &str, story: &Story, find: &mut impl FnMut(&'static str, String)) {
    for gone in story.withdrawn.iter().filter(|gone| gone.is_image) {
        // The same image may be released under another tag, and floating tags may lead there.
        let is_left = story.released.iter().any(|said| {
            said.is_image
                && said.digest == gone.digest
                && !story.withdrawn.iter().any(|other| other.under == said.under && other.digest == said.digest)
        });
        let is_meant = tag.name == gone.under || (!tag.is_final && !is_left);
        if is_meant && tag.others == 0 && tag.served.is_some_and(|image| image.digest == gone.digest) {
            find("still-served", format!("{shown} leads to {}, which was withdrawn", gone.digest));
        }
        if tag.name == gone.under && tag.own.iter().any(|push| push.at_ms > gone.at_ms) {
            find("again", format!("{shown} was withdrawn, and published again"));
        }
    }
}

/// A released image: its tag leads to it, unless the audit says that somebody changed that, and all of it is there.
fn judge_claim(evidence: &Evidence, story: &Story, said: &Said, find: &mut impl FnMut(&'static str, String)) {
    let what = format!("{}: `{}`", said.whose, said.under);
    let is_withdrawn = story.withdrawn.iter().any(|gone| gone.under == said.under && gone.digest == said.digest);
    let by_others = evidence.pushes.iter().any(|push| {
        evidence.public_images.contains(&push.repository)
            && !evidence.is_own(push)
            && (push.name == said.under || push.name.strip_prefix("sha256:") == Some(&said.digest))
    });
    let is_excused = is_withdrawn || by_others || is_told_of(&evidence.audits, &["looked-again"], &said.under);
    if evidence.public_images.is_empty() || is_excused {
        return;
    }
    let images: Vec<&Image> = evidence.images.iter().filter(|image| image.tag == said.under).collect();
    match images.iter().find(|image| image.digest == said.digest) {
        None if images.is_empty() => find("not-served", format!("{what} is called released, and no registry has it")),
        None => find("other-image", format!("{what} leads to another image than {}", said.digest)),
        Some(image) => {
            let took =
                |name: &&String| evidence.pushes.iter().any(|push| !evidence.is_own(push) && push.name == **name);
            let lacks: Vec<&String> = image.lacks.iter().filter(|name| !took(name)).collect();
            if !lacks.is_empty() {
                find("not-whole", format!("{what} leads to what is not there: {lacks:?}"));
            }
        }
    }
}
