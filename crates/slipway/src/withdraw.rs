//! `slipway withdraw`: what was released is taken back. What users will see stands first, and nothing is done without `--yes`.

use std::collections::BTreeSet;

use slipway_core::api::{PlannedWithdrawal, Release, Target, TargetOfKey, WithdrawalRequest, WithdrawalState};
use slipway_core::release::{Key, TargetState};

use crate::args;
use crate::edge::{Edge, POLL_S, Pauses};
use crate::exit::{Exit, Failure};
use crate::follow::list;
use crate::host;
use crate::say::Say;
use crate::settings::Settings;

/// One target: its key, and the text form of its name.
type Named = (Key, String);

/// Runs `slipway withdraw`.
pub(crate) async fn withdraw(options: &args::Withdraw, settings: &Settings, say: Say) -> Result<(), Failure> {
    let args::Withdraw { keys, targets, reason, shared, yes, dry_run, timeout_s, .. } = options;
    let end_ms = host::now_ms() + f64::from(*timeout_s) * 1000.0;
    let (edge, _) = Edge::open(settings, *timeout_s).await?;
    let doing = format!("cannot withdraw {} of {}", list(keys), settings.version);
    // Single targets are of one package.
    let single = keys
        .first()
        .into_iter()
        .flat_map(|key| targets.iter().map(|target| TargetOfKey { key: key.clone(), target: target.clone() }));
    let request = WithdrawalRequest {
        keys: if targets.is_empty() { keys.clone() } else { Vec::new() },
        targets: single.collect(),
        reason: reason.clone().unwrap_or_default(),
        shared: *shared,
        dry_run: true,
    };
    let would = match edge.withdraw(&request).await {
        Ok(would) => would,
        Err(error) => return Err(edge.unchanged(error, keys, &doing).await),
    };
    say.lines(&statement(&settings.version.to_string(), &would.withdrawals, *shared));
    let release = edge.release().await.map_err(|error| error.failure(&doing))?;
    let under_way = under_way(&release, keys);
    if !would.withdrawals.is_empty() {
        say.lines(&ending(&release, keys));
    }
    if would.withdrawals.is_empty() && under_way.is_empty() {
        say.line("nothing of it is left to withdraw: what was named is withdrawn already");
        return say.answer(&release);
    }
    if !under_way.is_empty() {
        let named = under_way.iter().map(|(key, name)| format!("{key} {name}")).collect::<Vec<_>>().join(", ");
        say.line(&format!("under way already, asked for before: {named}"));
    }
    let next = next(would.withdrawals.iter().any(|one| !one.also.is_empty()) && !shared, reason.is_none());
    if *dry_run {
        say.line(&format!("nothing was done: this is a dry run. {next}"));
        return say.answer(&would);
    }
    if !yes {
        let lines = ["Nothing was done.".to_owned(), next];
        return Err(Failure::new(Exit::Failed, doing, lines));
    }
    let request = WithdrawalRequest { dry_run: false, ..request };
    // Asked again after a lost answer, it names nothing new: so what was named before is followed.
    let asked = edge.withdraw(&request).await.map_err(|error| error.failure(&doing))?;
    say.line("asked for, and in the record. Slipway goes on with it whether or not this command runs.");
    // What was released since the statement is taken back, too.
    let named = would.withdrawals.iter().chain(&asked.withdrawals).map(|one| (one.key.clone(), one.target.to_string()));
    let named: BTreeSet<Named> = named.chain(under_way).collect();
    let named: Vec<Named> = named.into_iter().collect();
    let (release, ended) = follow(&edge, &named, end_ms, *timeout_s, say, &doing).await;
    if let Some(release) = &release {
        say.line(&release.verdict);
        say.answer(release)?;
    }
    ended
}

/// What is on its way to the public of the same packages: it ends, a line each.
fn ending(release: &Release, keys: &[Key]) -> Vec<String> {
    let packages = release.packages.iter().filter(|package| keys.contains(&package.key));
    let targets = packages.flat_map(|package| package.targets.iter().map(|target| (&package.key, target)));
    let is_moving = |target: &Target| matches!(target.state, TargetState::Approved | TargetState::Releasing);
    let line = |(key, target): (&Key, &Target)| {
        format!(
            "also ends    {key}  {}  {}: it is approved and not public yet. What has arrived by then can be withdrawn, too",
            target.name(),
            target.public.repository
        )
    };
    targets.filter(|(_, target)| is_moving(target)).map(line).collect()
}

/// What is being taken back already.
fn under_way(release: &Release, keys: &[Key]) -> Vec<Named> {
    let packages = release.packages.iter().filter(|package| keys.contains(&package.key));
    let targets = packages.flat_map(|package| package.targets.iter().map(|target| (&package.key, target)));
    let is_open = |target: &Target| {
        target.withdrawal.as_ref().is_some_and(|withdrawal| withdrawal.state == WithdrawalState::UnderWay)
    };
    targets
        .filter(|(_, target)| is_open(target))
        .map(|(key, target)| (key.clone(), target.name().into_owned()))
        .collect()
}

/// How it is done, for whoever has only looked.
fn next(is_shared: bool, lacks_reason: bool) -> String {
    let words = [("`--yes`", true), ("`--shared`", is_shared), ("`--reason`", lacks_reason)];
    let words: Vec<&str> = words.iter().filter(|(_, is_needed)| *is_needed).map(|(word, _)| *word).collect();
    format!("It cannot be undone. If this is what you want, run it again with {}.", words.join(" and "))
}

/// What would be taken back, and what users will see, each sentence once. `shared`: also from other releases, as was said.
fn statement(version: &str, withdrawals: &[PlannedWithdrawal], shared: bool) -> Vec<String> {
    let needs = if shared { "" } else { ": needs `--shared`" };
    let mut lines = Vec::new();
    for one in withdrawals {
        let PlannedWithdrawal { key, target, public, name, digest, found, also, .. } = one;
        lines.push(format!("to withdraw  {key}  {target}  {}", public.repository));
        // Of an image the name says where it was staged, which is not what goes.
        let what = if target.to_string().starts_with(':') { "the image" } else { name.as_str() };
        lines.push(format!("    {what} of {version}, {digest}, at {}", public.url));
        lines.extend(found.as_ref().map(|found| format!("    {found}")));
        lines.extend(also.iter().map(|other| format!("    also public as `{other}`, which loses it, too{needs}")));
    }
    let mut said: Vec<&str> = Vec::new();
    for sentence in withdrawals.iter().flat_map(|one| &one.users) {
        if !said.contains(&sentence.as_str()) {
            said.push(sentence);
        }
    }
    if !said.is_empty() {
        lines.push("What users will see:".to_owned());
        lines.extend(said.iter().map(|sentence| format!("  - {sentence}")));
    }
    lines
}

/// How far one target's withdrawal is.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Under way, and what is in its way.
    Moving(Option<String>),
    Done(Vec<String>),
    Not(Vec<String>),
}

fn standing(release: &Release, (key, name): &Named) -> Standing {
    let package = release.packages.iter().find(|package| package.key == *key);
    let target = package.and_then(|package| package.targets.iter().find(|target| target.name() == *name));
    let Some((target, withdrawal)) = target.and_then(|target| Some((target, target.withdrawal.as_deref()?))) else {
        return Standing::Moving(None);
    };
    let place = format!("{key}  {name}  {}", target.public.repository);
    match withdrawal.state {
        WithdrawalState::UnderWay => {
            let problem = withdrawal.problem.as_ref();
            Standing::Moving(problem.map(|problem| format!("not yet  {place}: {}", problem.what)))
        }
        WithdrawalState::Withdrawn => {
            let notes = withdrawal.notes.iter().map(|note| format!("    {note}"));
            Standing::Done([format!("withdrawn  {place}")].into_iter().chain(notes).collect())
        }
        WithdrawalState::NotWithdrawn => {
            let problem = withdrawal.problem.iter().flat_map(|problem| [problem.what.clone(), problem.next.clone()]);
            let state =
                if target.state == TargetState::Released { "it stays released" } else { "see `slipway status`" };
            Standing::Not([format!("not withdrawn  {place}: {state}")].into_iter().chain(problem).collect())
        }
    }
}

async fn follow(
    edge: &Edge<'_>,
    named: &[Named],
    end_ms: f64,
    timeout_s: u32,
    say: Say,
    doing: &str,
) -> (Option<Release>, Result<(), Failure>) {
    let mut before: Option<Release> = None;
    let mut told = vec![false; named.len()];
    let mut in_the_way: Vec<Option<String>> = vec![None; named.len()];
    let mut failed = Vec::new();
    let mut pauses = Pauses::default();
    loop {
        let answer = match &before {
            None => edge.release().await,
            Some(before) => edge.change(before.sequence, POLL_S).await,
        };
        let release = match answer {
            Ok(release) => release,
            Err(error) => {
                let mut lines = error.lines();
                lines.push(
                    "It was asked for, and Slipway goes on without this command: see `slipway status`.".to_owned(),
                );
                return (before, Err(Failure::new(Exit::Failed, doing, lines)));
            }
        };
        for ((named, told), before) in named.iter().zip(&mut told).zip(&mut in_the_way).filter(|((_, told), _)| !**told)
        {
            match standing(&release, named) {
                Standing::Moving(now) => {
                    if let Some(line) = now.as_ref().filter(|_| now != *before) {
                        say.line(line);
                    }
                    *before = now;
                }
                Standing::Done(lines) => {
                    *told = true;
                    say.lines(&lines);
                }
                Standing::Not(lines) => {
                    *told = true;
                    failed.extend(lines);
                }
            }
        }
        if told.iter().all(|told| *told) {
            let ended = if failed.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Failed, doing, failed)) };
            return (Some(release), ended);
        }
        if host::now_ms() > end_ms {
            let open = named.iter().zip(&told).filter(|(_, told)| !**told);
            failed.extend(open.map(|((key, name), _)| format!("not yet  {key}  {name}")));
            let line = format!("Not done within {timeout_s} s. Slipway goes on: see `slipway status`.");
            failed.push(line);
            return (Some(release), Err(Failure::new(Exit::TimedOut, doing, failed)));
        }
        if before.as_ref().is_some_and(|before| before.sequence == release.sequence) {
            host::pause_ms(pauses.next_ms()).await;
        } else {
            pauses = Pauses::default();
        }
        before = Some(release);
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::api::{Location, Withdrawal};
    use slipway_wire::Digest;

    use super::*;
    use crate::testing;

    fn planned(target: &str, users: &[&str]) -> PlannedWithdrawal {
        PlannedWithdrawal {
            key: "deb".parse().expect("a key"),
            target: target.parse().expect("a target"),
            public: Location { url: "https://p.example.com".to_owned(), repository: "harbour/stable".to_owned() },
            name: "deb_1_amd64.deb".to_owned(),
            digest: Digest::of(b"deb"),
            found: None,
            also: Vec::new(),
            users: users.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn what_users_will_see_is_said_once() {
        let lines = statement(
            "1.2.0",
            &[planned("ubuntu/jammy", &["apt fails.", "It stays."]), planned("el/9", &["It stays."])],
            false,
        );
        let digest = Digest::of(b"deb");
        assert_eq!(
            lines,
            [
                "to withdraw  deb  ubuntu/jammy  harbour/stable",
                &format!("    deb_1_amd64.deb of 1.2.0, {digest}, at https://p.example.com"),
                "to withdraw  deb  el/9  harbour/stable",
                &format!("    deb_1_amd64.deb of 1.2.0, {digest}, at https://p.example.com"),
                "What users will see:",
                "  - apt fails.",
                "  - It stays.",
            ]
        );
    }

    #[test]
    fn whoever_has_looked_is_told_every_word_that_is_lacking() {
        let with = |words: &str| format!("It cannot be undone. If this is what you want, run it again with {words}.");
        assert_eq!(next(false, false), with("`--yes`"));
        assert_eq!(next(true, true), with("`--yes` and `--shared` and `--reason`"));
        let shared = PlannedWithdrawal { also: vec!["1.2.1/deb".to_owned()], ..planned("el/9", &[]) };
        let loses = "    also public as `1.2.1/deb`, which loses it, too";
        let lines = |said| statement("1.2.0", std::slice::from_ref(&shared), said);
        assert_eq!(lines(false)[2], format!("{loses}: needs `--shared`"));
        assert_eq!(lines(true)[2], loses, "it was given");
    }

    #[test]
    fn what_is_on_its_way_of_the_same_package_is_said_to_end() {
        let keys = ["deb".parse().expect("a key")];
        for (state, ends) in [("approved", 1), ("releasing", 1), ("released", 0), ("staged", 0)] {
            let lines = ending(&testing::release(&[("deb", state), ("rpm", "approved")]), &keys);
            assert_eq!(lines.len(), ends, "{state}: {lines:?}");
        }
    }

    #[test]
    fn a_withdrawal_is_followed_until_each_target_has_ended() {
        let mut release = testing::release(&[("deb", "released")]);
        let named = ("deb".parse().expect("a key"), "d/0".to_owned());
        assert_eq!(standing(&release, &named), Standing::Moving(None));
        let mut withdrawal = Withdrawal {
            by: "mira".to_owned(),
            reason: "bad".to_owned(),
            at: String::new(),
            state: WithdrawalState::UnderWay,
            users: Vec::new(),
            notes: vec!["`latest` leads to `1` again.".to_owned()],
            problem: None,
        };
        testing::target(&mut release).withdrawal = Some(Box::new(withdrawal.clone()));
        assert_eq!(standing(&release, &named), Standing::Moving(None));
        withdrawal.problem = Some(testing::problem());
        testing::target(&mut release).withdrawal = Some(Box::new(withdrawal.clone()));
        let what = testing::problem().what;
        assert_eq!(
            standing(&release, &named),
            Standing::Moving(Some(format!("not yet  deb  d/0  harbour/stable: {what}"))),
            "whoever waits sees why"
        );
        withdrawal.state = WithdrawalState::NotWithdrawn;
        testing::target(&mut release).withdrawal = Some(Box::new(withdrawal.clone()));
        assert!(matches!(standing(&release, &named), Standing::Not(lines) if lines.len() == 3));
        withdrawal.state = WithdrawalState::Withdrawn;
        testing::target(&mut release).withdrawal = Some(Box::new(withdrawal));
        assert_eq!(
            standing(&release, &named),
            Standing::Done(vec![
                "withdrawn  deb  d/0  harbour/stable".to_owned(),
                "    `latest` leads to `1` again.".to_owned(),
            ])
        );
    }
}
