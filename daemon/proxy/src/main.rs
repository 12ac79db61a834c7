//! `gantry-proxy`; see the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon_proxy::run()
}
