//! containerd filter expressions.
