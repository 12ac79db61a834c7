//! A container's root file system: mounts, devices, masked paths, pivot.

#![forbid(unsafe_code)]
