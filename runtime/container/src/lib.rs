//! Containers: create, start, exec, kill, delete, state.

#![forbid(unsafe_code)]
