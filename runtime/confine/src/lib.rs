//! Confinement: capabilities, seccomp, rlimits, no_new_privs, labels.

#![forbid(unsafe_code)]
