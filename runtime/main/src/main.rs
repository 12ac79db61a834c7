//! The runtime program.

#![forbid(unsafe_code)]

fn main() {}
