//! A directory to unpack into.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use supervisor_snapshots::extract::{ExtractError, Limits, Summary, Whiteouts, extract};
use tempfile::TempDir;

/// A layer's directory beside a canary that nothing may touch.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a readable place");
        fs::create_dir(directory.path().join("layer")).expect("a readable place");
        fs::create_dir(directory.path().join("host")).expect("a readable place");
        fs::write(directory.path().join("host/canary"), "alive").expect("a readable place");
        Self { directory }
    }

    pub(crate) fn layer(&self) -> std::path::PathBuf {
        self.directory.path().join("layer")
    }

    pub(crate) fn host(&self) -> std::path::PathBuf {
        self.directory.path().join("host")
    }

    pub(crate) fn unpack(&self, archive: &[u8]) -> Result<Summary, ExtractError> {
        self.unpack_within(archive, &Limits::default())
    }

    pub(crate) fn unpack_within(
        &self,
        archive: &[u8],
        limits: &Limits,
    ) -> Result<Summary, ExtractError> {
        let target = File::open(self.layer()).expect("a readable place").into();
        extract(archive, target, Whiteouts::Overlay, limits)
    }

    pub(crate) fn assert_host_untouched(&self) {
        let canary = self.host().join("canary");
        assert_eq!(fs::read_to_string(&canary).expect("a readable place"), "alive");
        let metadata = fs::metadata(&canary).expect("a readable place");
        assert_eq!((metadata.nlink(), metadata.permissions().mode() & 0o7777), (1, 0o644));
        assert_eq!(
            fs::read_dir(self.host()).expect("a readable place").count(),
            1,
            "host directory"
        );
        let beside = fs::read_dir(self.directory.path()).expect("a readable place").count();
        assert_eq!(beside, 2, "directory beside the layer");
    }
}
