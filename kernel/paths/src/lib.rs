//! Path resolution inside a root that somebody hostile controls.

#![forbid(unsafe_code)]
