//! Reading container logs.

#![forbid(unsafe_code)]
