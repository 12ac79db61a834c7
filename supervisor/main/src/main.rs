//! The supervisor program.

#![forbid(unsafe_code)]

fn main() {}
