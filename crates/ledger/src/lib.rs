//! What cannot be seen, kept in SQL: expectations, approvals, attempts and the audit chain.
