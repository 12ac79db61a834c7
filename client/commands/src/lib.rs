//! The command line: docker's commands.

#![forbid(unsafe_code)]
