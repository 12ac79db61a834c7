//! The daemon program.

#![forbid(unsafe_code)]

fn main() {}
