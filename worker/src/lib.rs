//! The edge host: webhook, API, promotions, ledger, dashboard.
