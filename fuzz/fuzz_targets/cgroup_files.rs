//! The files of a cgroup: whatever the kernel, or somebody in its place, writes there is read
//! without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime_cgroups::{Hierarchy, Record, reopen};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

/// A folder in memory that is both versions' cgroup.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(format!("/dev/shm/gantry-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("create folder");
    folder
});

const FILES: [&str; 20] = [
    "cgroup.procs",
    "cgroup.freeze",
    "cpu.stat",
    "io.stat",
    "memory.current",
    "memory.events",
    "memory.max",
    "memory.stat",
    "pids.current",
    "pids.max",
    "blkio.throttle.io_service_bytes_recursive",
    "cpuacct.stat",
    "cpuacct.usage",
    "cpuacct.usage_percpu",
    "freezer.state",
    "hugetlb.2MB.usage_in_bytes",
    "memory.limit_in_bytes",
    "memory.oom_control",
    "memory.usage_in_bytes",
    "memory.memsw.usage_in_bytes",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, content)) = bytes.split_first() else { return };
    let path = FOLDER.join(FILES[usize::from(first) % FILES.len()]);
    fs::write(&path, content).expect("write a file");
    for (unified, controllers) in
        [(true, ""), (false, "cpu,cpuacct,memory,blkio,pids,freezer,hugetlb,devices")]
    {
        let hierarchy = Hierarchy {
            name: "all".to_owned(),
            controllers: controllers.to_owned(),
            path: FOLDER.clone(),
        };
        let cgroup = reopen(Record { unified, hierarchies: vec![hierarchy], ..Record::default() });
        let _ = cgroup.stats();
        let _ = cgroup.is_frozen();
        let _ = cgroup.processes();
    }
    fs::remove_file(&path).expect("remove the file");
});
