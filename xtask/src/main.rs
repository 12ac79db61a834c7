//! Everything a developer repeats.

#![forbid(unsafe_code)]

fn main() {}
