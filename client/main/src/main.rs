//! The client program.

#![forbid(unsafe_code)]

fn main() {}
