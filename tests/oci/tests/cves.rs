//! What was wrong with other runtimes, replayed on ours.
//!
//! `docs/compat/cves.md` lists every known hole of runc, crun and youki with its replay here, or
//! with the reason why there is none. A race is run a fixed number of times: it proves nothing when
//! it holds, and shows the hole when it does not.

#![forbid(unsafe_code)]

#[path = "cves/cgroups.rs"]
mod cgroups;
#[path = "cves/mounts.rs"]
mod mounts;
#[path = "cves/processes.rs"]
mod processes;
#[path = "cves/procfs.rs"]
mod procfs;
