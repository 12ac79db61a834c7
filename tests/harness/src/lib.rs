//! What every end-to-end test starts from: daemons, registries, images, the leak check.

#![forbid(unsafe_code)]
