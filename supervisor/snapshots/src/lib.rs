//! Overlay snapshots and the layer extractor.
//!
//! [`extract`] unpacks tar streams, [`layer`] adds decompression and the check of the digest.

#![forbid(unsafe_code)]

pub mod decompress;
pub mod extract;
pub mod layer;
