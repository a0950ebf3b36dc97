//! OCI registries: names, manifests, credentials, and the endpoints that move an image by digest.
//!
//! An image is named by a tag and *is* a digest: that of its manifest's bytes. So a manifest is sent on as it came, and
//! nothing here can change one. Written are an artifact that says something about an image, and the list of an image's
//! referrers where a registry keeps none itself. Facts are from the OCI distribution specification 1.1 and Docker's token scheme; where
//! registries differ from them, the comment says which.
//!
//! A registry names addresses: for tokens, uploads and storage. Only those that the operator listed are visited
//! ([`Registry`]); credentials go to the registry and its realm alone ([`Session`]).
//!
//! Absent on purpose: retries and waiting, which are their callers' decisions; Docker's short names; tokens by OAuth's
//! `POST`, since every registry that gives tokens gives them by `GET`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod answer;
mod artifact;
mod attach;
mod blobs;
mod challenge;
mod copy;
mod delete;
mod floating;
mod image;
mod manifest;
mod manifests;
mod name;
mod ping;
mod read_back;
mod referrers;
mod registry;
mod remove;
mod session;
mod tags;

#[cfg(test)]
mod fake;

pub use artifact::{Artifact, attach};
pub use attach::copy_referrers;
pub use blobs::{
    Arrived, BeginUpload, Begun, BlobHead, CancelUpload, EndUpload, GetBlob, HeadBlob, Upload, UploadStatus,
};
pub use copy::{Moved, NotCopied, Shelf, Unlisted, Uploads, copy, tag};
pub use delete::{DeleteManifest, Deletion};
pub use floating::{Floating, Move, Numbered, moves, newest};
pub use image::{Image, NotWhole, read_image};
pub use manifest::{
    DOCKER_IMAGE, DOCKER_LIST, Descriptor, InvalidManifest, MANIFEST_BYTES_MAX, Manifest, OCI_IMAGE, OCI_INDEX,
    is_manifest,
};
pub use manifests::{Head, HeadManifest, Put, PutManifest, read_manifest};
pub use name::{InvalidReference, InvalidRepository, InvalidTag, Reference, Repository, Tag, Which};
pub use ping::answers;
pub use read_back::{Depth, NotServed, Place, read_back, read_back_blobs};
pub use referrers::{Referrers, find_referrers};
pub use registry::{Credential, Location, Registry};
pub use remove::{Around, Going, Kept, Look, NotRemoved, Removed, look, remove, remove_with, take_out, there};
pub use session::{Scope, Session};
pub use tags::list_tags;
