//! The library as the shim uses it: a root file system of overlay mounts that only the container
//! sees. Has a `main` of its own, because who clones must be single-threaded. Needs root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base_oci::runtime::Spec;
use runtime_container::{
    Container, CreateOptions, CreateRequest, ExecOptions, ExecRequest, RootfsMount, Status, Stdio,
};
use std::fs::{File, read_to_string};
use std::os::fd::OwnedFd;
use std::path::Path;

fn main() {
    an_overlay_root_is_made_inside_the_container_only();
    println!("test an_overlay_root_is_made_inside_the_container_only ... ok");
}

fn an_overlay_root_is_made_inside_the_container_only() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path();
    // Thirty layers with long names: more than one option string holds.
    let layers: Vec<_> =
        (0..30).map(|n| bundle.join(format!("{}{n}", "layer".repeat(30)))).collect();
    for layer in &layers {
        std::fs::create_dir_all(layer.join("bin")).unwrap();
        std::fs::write(layer.join("which"), layer.file_name().unwrap().as_encoded_bytes()).unwrap();
    }
    std::fs::copy("/bin/busybox", layers[29].join("bin/busybox")).unwrap();
    for name in ["upper", "work", "rootfs"] {
        std::fs::create_dir(bundle.join(name)).unwrap();
    }
    let lower: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    let mount = RootfsMount {
        fstype: "overlay".to_owned(),
        source: "overlay".to_owned(),
        target: String::new(),
        options: vec![
            format!("lowerdir={}", lower.join(":")),
            format!("upperdir={}", bundle.join("upper").display()),
            format!("workdir={}", bundle.join("work").display()),
        ],
    };
    let id = format!("overlay-{}", std::process::id());
    let root = bundle.join("state");
    let spec = spec(&id);
    let output = bundle.join("output");
    let open =
        || -> OwnedFd { File::options().append(true).create(true).open(&output).unwrap().into() };
    let created = runtime_container::create(CreateRequest {
        root: &root,
        id: &id,
        bundle,
        spec: &spec,
        rootfs_mounts: &[mount],
        stdio: Stdio::Descriptors { stdin: open(), stdout: open(), stderr: open() },
        options: CreateOptions::default(),
    })
    .unwrap_or_else(|error| panic!("{}", error.message()));
    assert!(!read_to_string("/proc/self/mountinfo").unwrap().contains(bundle.to_str().unwrap()));
    assert_eq!(created.namespaces.len(), 5);
    runtime_container::start(&root, &id).unwrap();
    exec(&root, &id, &spec, &open());
    assert_eq!(runtime_container::processes(&root, &id).unwrap(), [created.pid]);
    runtime_container::kill(&root, &id, 9, false).unwrap();
    reap();
    assert_eq!(runtime_container::state(&root, &id).unwrap().status, Status::Stopped);
    runtime_container::delete(&root, &id, false).unwrap();
    drop(created);
    let said = read_to_string(&output).unwrap();
    assert!(said.starts_with("layer") && said.ends_with("layer0 exec\n"), "{said}");
    assert_eq!(read_to_string(bundle.join("upper/made")).unwrap(), "");
}

/// Runs a process that waits for the first one's output and adds its own.
fn exec(root: &Path, id: &str, spec: &Spec, output: &OwnedFd) {
    let mut process = spec.process.clone().unwrap();
    let script = "until test -e /made; do :; done; echo ' exec'";
    process.args = ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec();
    let copy = || output.try_clone().unwrap();
    let executed = runtime_container::exec(ExecRequest {
        container: Container::find(root, id).expect("find the container"),
        process,
        stdio: Stdio::Descriptors { stdin: copy(), stdout: copy(), stderr: copy() },
        options: ExecOptions::default(),
    })
    .unwrap_or_else(|error| panic!("{}", error.message()));
    assert!(executed.console.is_none());
    reap();
}

/// Waits for whichever child ends next.
fn reap() {
    rustix::process::wait(rustix::process::WaitOptions::empty()).unwrap().unwrap();
}

fn spec(id: &str) -> Spec {
    let text = format!(
        r#"{{"ociVersion":"1.3.0","process":{{"user":{{}},"cwd":"/",
        "args":["/bin/busybox","sh","-c","/bin/busybox cat /which; > /made; /bin/busybox sleep 1000"]}},
        "root":{{"path":"rootfs"}},
        "mounts":[{{"destination":"/proc","type":"proc","source":"proc"}}],
        "linux":{{"cgroupsPath":"/gantry-runtime-tests/{id}","namespaces":[{{"type":"mount"}},
        {{"type":"pid"}},{{"type":"network"}},{{"type":"ipc"}},{{"type":"uts"}}]}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}
