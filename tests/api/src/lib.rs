//! The Engine API, compared answer by answer with the original's.
//!
//! [`scenario`] is a list of requests; [`recording`] sends them to a daemon and keeps the answers
//! with everything that changes from run to run taken out ([`normal`]). The original's answers
//! lie in `recorded/`, made by `cargo xtask record`; the test sends the same requests to ours and
//! [`difference`] lists where the two part, field by field. What is known to part stands in
//! `known-differences.tsv`, each line with its reason; a line that no longer parts fails the test
//! too, so that the list only shrinks.

#![forbid(unsafe_code)]

pub mod difference;
pub mod normal;
pub mod recording;
pub mod scenario;
pub mod wire;
