//! The shim binary protocol, ttrpc frames and Task messages: supervisor to shim.

#![forbid(unsafe_code)]
