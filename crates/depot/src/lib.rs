//! A small package server: packagecloud's API over real, signed APT repositories on disk.
