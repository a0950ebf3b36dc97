//! What Slipway knows: releases, routes, approvals, plans, promotions. It knows no host and reads no clock.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod access;
pub mod amount;
pub mod api;
pub mod approval;
pub mod attestation;
pub mod audit;
pub mod body;
pub mod cargo;
pub mod config;
pub mod estimate;
pub mod expectation;
pub mod gate;
pub mod inventory;
pub mod log;
pub mod metrics;
pub mod openapi;
pub mod plan;
pub mod policy;
pub mod problem;
pub mod promotion;
pub mod query;
pub mod readiness;
pub mod release;
pub mod report;
pub mod retention;
pub mod route;
pub mod secret;
pub mod signing;
pub mod stop;
pub mod store;
pub mod sweep;
pub mod time;
pub mod trouble;
pub mod verdict;
pub mod withdrawal;
