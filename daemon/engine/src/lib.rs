//! The engine: containers, images, exec, events, stats.

#![forbid(unsafe_code)]
