//! Labels of records that both ends give a meaning to.

/// Set to `true` on a container, snapshot or lease: the record may vanish with the machine, and
/// costs no disk write. It still survives the death of every program.
pub const EPHEMERAL: &str = "gantry.io/ephemeral";
/// Keeps a blob or snapshot for its own sake; the value is when that was said (RFC 3339).
pub const GC_ROOT: &str = "containerd.io/gc.root";
/// When a lease ends by itself (RFC 3339).
pub const GC_EXPIRE: &str = "containerd.io/gc.expire";
/// How the label begins that says from which registry a blob came; its end is the registry's host,
/// its value the repositories, separated by commas.
pub const SOURCE_PREFIX: &str = "containerd.io/distribution.source.";
/// A lease with it keeps its resources, but not what they refer to.
pub const GC_FLAT: &str = "containerd.io/gc.flat";
