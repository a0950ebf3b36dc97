//! packagecloud: its API's endpoints and the APT indexes it serves.
