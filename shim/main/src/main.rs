//! The shim program.

#![forbid(unsafe_code)]

fn main() {}
