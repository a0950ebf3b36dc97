//! What Slipway knows: releases, routes, approvals, plans, promotions. It knows no host and reads no clock.

pub mod api;
pub mod release;
