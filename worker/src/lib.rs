//! The edge: webhook, API, promotions, ledger, dashboard, on Cloudflare Workers or a plain workerd.
//!
//! A host of [`slipway_core`]: it verifies callers, reads secrets and the clock, calls one workflow and keeps what came
//! of it. What decides is in the core, what is remembered is in the ledger. One file for each event and each Durable
//! Object:
//!
//! - [`fetch`](mod@fetch): every request from outside, and the page of a release; `caller` says who asks and whether they
//!   may, `session` gives jobs and people what they show from then on;
//! - `carry`: a release job holds its request open while the edge copies what takes longer than an alarm may run;
//! - `command`: the `slipway` command that this edge was built with, for jobs and people to load;
//! - `copy`: the stateless invocation that moves bytes, reachable with a one-time capability alone;
//! - `readiness`: whether the deployment has what it needs, and what is to be said of each of its secrets;
//! - `backup`: a project's record as lines of JSON, and made of them again;
//! - `log`: the operator's log;
//! - `metrics`: what the objects and this isolate count, for the operator's monitoring;
//! - `stop`: the switch that stops everything;
//! - `scheduled`: the cron trigger, which only wakes alarms;
//! - `project_record`, `package_promotion`, `destination_account`, `directory`: the Durable Objects, and in `host` what
//!   the runtime lends to all of them.
//!
//! A panic would end every request in flight, so none may happen: the lints below deny what panics.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answer;
mod backup;
mod caller;
mod carry;
mod clock;
mod command;
mod copy;
mod counters;
mod destination_account;
mod directory;
mod fetch;
mod gates;
mod host;
mod log;
mod message;
mod metrics;
mod outside;
mod package_promotion;
mod pages;
mod project_record;
mod readiness;
mod scheduled;
mod session;
mod settings;
mod signing;
mod sql;
mod stop;
mod strangers;
mod webhook;
