//! The command line: Docker's commands, one file each, named by noun and verb.
//!
//! A command is a [`command::Command`]: its flags, from which come parser, help and completion,
//! and a function that makes requests through [`session::Session`] and prints what came of them.
//! [`root::ROOT`] has them all. This crate prints for people; it reads neither `argv` nor the
//! environment and does not exit (but where a signal ends the program): that is `client/main`.
//!
//! Invariants: what is printed on standard output is the result, everything else goes to standard
//! error; a terminal that was changed is put back on every way out.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod command;
pub mod config_file;
pub mod contexts;
pub mod failure;
pub mod flag;
pub mod help;
pub mod root;
pub mod session;

mod completion;
mod container;
mod context;
mod image;
mod inspect;
mod network;
mod system;
mod volume;

mod attachment;
mod confirm;
mod credentials;
mod detach_keys;
mod filters;
mod inspecting;
pub mod instant;
mod listing;
pub mod output;
mod pairs;
mod progress;
mod quantity;
mod show;
mod signals;
mod targets;
mod template;
pub mod terminal;
