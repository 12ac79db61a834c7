//! Named volumes.

#![forbid(unsafe_code)]
