//! The programs that are executed for every container are small, and need nothing beside them.

#![forbid(unsafe_code)]

use tests_harness::program;

/// What LIMITS.md says.
const RUNTIME_BYTES: u64 = 1_500_000;

/// Kinds of program headers and of entries in the dynamic section (System V ABI, elf(5)).
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;

/// A little-endian ELF file of 64 bits.
struct Elf(Vec<u8>);

impl Elf {
    fn open(name: &str) -> Self {
        let bytes = std::fs::read(program(name)).expect("read a program");
        assert!(bytes.starts_with(b"\x7fELF\x02\x01"), "{name} is an ELF file");
        Self(bytes)
    }

    fn number(&self, at: u64, length: usize) -> u64 {
        let at = usize::try_from(at).expect("an offset in the file");
        let mut number = [0; 8];
        number[..length].copy_from_slice(&self.0[at..at + length]);
        u64::from_le_bytes(number)
    }

    /// Kind and place of each segment.
    fn segments(&self) -> impl Iterator<Item = (u64, u64)> {
        let (first, size, count) = (self.number(32, 8), self.number(54, 2), self.number(56, 2));
        let headers = (0..count).map(move |index| first + index * size);
        headers.map(|header| (self.number(header, 4), self.number(header + 8, 8)))
    }

    /// Kinds of the dynamic section's entries.
    fn dynamic(&self) -> Vec<u64> {
        let section = self.segments().find(|segment| segment.0 == PT_DYNAMIC);
        let entries = section.into_iter().flat_map(|(_, place)| (place..).step_by(16));
        entries.map(|entry| self.number(entry, 8)).take_while(|kind| *kind != DT_NULL).collect()
    }
}

#[test]
fn the_runtime_is_small() {
    let length = program("gantry-runtime").metadata().expect("look at the runtime").len();
    assert!(length <= RUNTIME_BYTES, "gantry-runtime has {length} bytes");
}

#[test]
fn what_a_container_starts_with_is_static() {
    for name in ["gantry-runtime", "containerd-shim-gantry-v2", "gantry-init", "gantry-proxy"] {
        let elf = Elf::open(name);
        let segments: Vec<_> = elf.segments().map(|segment| segment.0).collect();
        assert!(!segments.contains(&PT_INTERP), "{name} asks for a dynamic loader: {segments:?}");
        let dynamic = elf.dynamic();
        assert!(!dynamic.contains(&DT_NEEDED), "{name} asks for libraries: {dynamic:?}");
    }
    // The others do ask: this test would see it.
    let elf = Elf::open("gantryd");
    assert!(elf.segments().any(|segment| segment.0 == PT_INTERP));
    assert!(elf.dynamic().contains(&DT_NEEDED));
}
