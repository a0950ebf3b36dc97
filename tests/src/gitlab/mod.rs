//! A GitLab to talk to on loopback: jobs, webhooks and ID tokens as GitLab makes them, told what happens through a
//! control port.
//!
//! It is not a mock: it expects nothing of its caller and behaves by GitLab's rules. A played job changes its user
//! and sends `pending`, then `running`; a webhook that fails is never sent again; four failures in a row switch the
//! hook off. Where GitLab promises nothing (the order of deliveries), the stand-in keeps one order per hook, so that
//! stories can be repeated; other orders and duplicates are made with `POST /_control/deliver`.
//!
//! Everything that it answered is in an append-only journal, written and synced before the answer, so a killed
//! stand-in goes on where it was. A webhook that was queued, or under way, at that moment is sent after the restart
//! with the same `Idempotency-Key`, as a restarted Sidekiq does: so it may arrive twice. Injected faults and resend
//! limits are kept in memory only, and so are the codes of people who sign in, with a program or a browser.
//!
//! Absent on purpose: pipelines that run by themselves, groups but by their number, permissions beyond a token's scopes and projects and
//! protected environments, TLS.

mod api;
mod browser;
mod clock;
mod control;
mod delivery;
mod fault;
mod id_token;
mod job;
mod job_page;
mod journal;
mod keys;
mod lifecycle;
mod oauth;
mod outward;
mod payload;
mod protected;
mod seed;
mod server;
mod world;

pub use server::{Options, StandIn, StartError, start};
