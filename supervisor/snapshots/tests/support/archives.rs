//! Builds tar archives for tests, well-formed and hostile.

#![allow(dead_code, reason = "each test file uses a part of it")]

/// A tar archive under construction.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A header of any type, then its data.
    pub(crate) fn entry(self, flag: u8, name: &str, link: &str, data: &[u8]) -> Self {
        self.raw(flag, name.as_bytes(), link.as_bytes(), 0o644, data.len() as u64, data)
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(b'0', name, "", data)
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.raw(b'5', name.as_bytes(), b"", 0o755, 0, b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, b"")
    }

    pub(crate) fn mode(self, flag: u8, name: &str, mode: u32, data: &[u8]) -> Self {
        self.raw(flag, name.as_bytes(), b"", mode, data.len() as u64, data)
    }

    /// A device.
    pub(crate) fn device(mut self, flag: u8, name: &str, major: u32, minor: u32) -> Self {
        let start = self.0.len();
        self = self.entry(flag, name, "", b"");
        let header = &mut self.0[start..start + 512];
        header[329..337].copy_from_slice(format!("{major:07o}\0").as_bytes());
        header[337..345].copy_from_slice(format!("{minor:07o}\0").as_bytes());
        checksum(header);
        self
    }

    /// PAX records for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.raw(b'x', b"pax", b"", 0o644, data.len() as u64, &data)
    }

    /// A header whose size field says `size`, whatever `data` follows.
    pub(crate) fn raw(
        mut self,
        flag: u8,
        name: &[u8],
        link: &[u8],
        mode: u32,
        size: u64,
        data: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(tar::EntryType::new(flag));
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(size);
        header.set_device_major(1).expect("GNU headers have device numbers");
        header.set_device_minor(3).expect("GNU headers have device numbers");
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Bytes as they are.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The archive with its two closing blocks.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    /// The archive without them.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }
}

/// Gives a header block its checksum.
pub(crate) fn checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A PAX record; its length counts its own digits.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + body.to_string().len();
    if length.to_string().len() != body.to_string().len() {
        length += 1;
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}
