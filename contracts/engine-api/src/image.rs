//! Images.

mod config;
mod inspect;
mod list;
mod operation;

pub use config::ImageConfig;
pub use inspect::{InspectResponse, Metadata, RootFs};
pub use list::{ImageProperties, ManifestSize, ManifestSummary, Summary, UnpackedSize};
pub use operation::{DeleteResponse, HistoryItem, PruneReport};
