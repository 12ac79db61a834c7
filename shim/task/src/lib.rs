//! The shim's tasks: processes, stdio, logs, events, ttrpc service.

#![forbid(unsafe_code)]
