//! Shims and their tasks: launch, adoption, events.

#![forbid(unsafe_code)]
