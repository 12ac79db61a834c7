//! Images.

mod config;
mod inspect;
mod list;
mod operation;

pub use config::ImageConfig;
pub use inspect::{Identity, InspectResponse, Metadata, PullIdentity, RootFs};
pub use list::{ImageProperties, ManifestSize, ManifestSummary, Summary, UnpackedSize};
pub use operation::{DeleteResponse, HistoryItem, PruneReport};
