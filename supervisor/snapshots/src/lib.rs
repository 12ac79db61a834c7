//! Overlay snapshots and the layer extractor.

#![forbid(unsafe_code)]
