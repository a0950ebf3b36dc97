//! GitLab: webhook payloads, ID-token claims, job and pipeline endpoints.
