//! What is read of `/proc` and of a container's `/etc/passwd`: names that anybody chooses do not
//! move the fields after them.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    raw: &'a str,
    name: &'a str,
    state: u8,
    start_time: u64,
    uid: u32,
    controllers: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let Input { raw, name, state, start_time, uid, controllers } = input;
    let _ = runtime_container::fuzzing::stat(raw);
    // A process may call itself anything; the kernel puts it between parentheses as it is.
    let state = b"RSDZTtXIP"[usize::from(state) % 9];
    let zeros = "0 ".repeat(18);
    let line = format!("7 ({name}) {} {zeros}{start_time} 1 2\n", char::from(state));
    assert_eq!(runtime_container::fuzzing::stat(&line), Some((state, start_time)));

    if let Some(home) = runtime_container::fuzzing::home(raw, uid) {
        assert!(!home.is_empty() && raw.contains(&home));
    }
    if let Some((controllers, path)) = runtime_cgroups::fuzzing::own_cgroup(raw) {
        assert!(!controllers.is_empty() && raw.ends_with(path));
    }
    let mounts = format!("{raw}\n36 31 0:33 / /found rw - cgroup cgroup rw,memory\n");
    if runtime_cgroups::fuzzing::mount_point(raw, "memory").is_none() {
        let found = runtime_cgroups::fuzzing::mount_point(&mounts, "memory");
        assert_eq!(found.as_deref(), Some(std::path::Path::new("/found")));
    }
    let _ = runtime_cgroups::fuzzing::mount_point(raw, controllers);
});
