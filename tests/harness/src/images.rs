//! Images made on this machine, as OCI layouts in the cache: no registry but our own is needed.

use crate::{cache, output_of};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Counts up when what is in an image changes, so that old caches are left alone.
const VERSION: &str = "v1";

/// Debian bookworm by debootstrap with the tools that people type first, in three layers.
#[must_use]
pub fn debian() -> PathBuf {
    layout(
        "debian",
        |root| {
            let _ = output_of(Command::new("debootstrap").args([
                "--variant=minbase",
                "--include=net-tools,iproute2,procps,iputils-ping",
                "bookworm",
                &root.display().to_string(),
            ]));
            vec![
                Layer {
                    member: ".",
                    excludes: &["./usr/share", "./usr/lib", "./var/lib/apt/lists", "./dev"],
                },
                Layer { member: "./usr/lib", excludes: &[] },
                Layer { member: "./usr/share", excludes: &[] },
            ]
        },
        &json!({"Env": [PATH], "Cmd": ["bash"]}),
    )
}

/// Busybox with its applets, one layer.
#[must_use]
pub fn busybox() -> PathBuf {
    layout(
        "busybox",
        |root| {
            busybox_root(root);
            vec![Layer { member: ".", excludes: &[] }]
        },
        &json!({"Env": [PATH], "Cmd": ["sh"]}),
    )
}

/// A web server: busybox httpd on port 80 that answers with its own address; it has a volume, an
/// exposed port and labels, which inspection shows.
#[must_use]
pub fn web() -> PathBuf {
    layout(
        "web",
        |root| {
            busybox_root(root);
            let folder = root.join("www/cgi-bin");
            fs::create_dir_all(&folder).expect("create folder");
            let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nhostname -i\n";
            fs::write(folder.join("address"), script).expect("write script");
            let _ = output_of(Command::new("chmod").arg("755").arg(folder.join("address")));
            vec![Layer { member: ".", excludes: &[] }]
        },
        &json!({
            "Env": [PATH, "WEB=1"],
            "Entrypoint": ["/bin/httpd", "-f", "-p", "80", "-h", "/www"],
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/data": {}},
            "WorkingDir": "/www",
            "Labels": {"org.example.role": "web"},
            "StopSignal": "SIGKILL",
        }),
    )
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn busybox_root(root: &Path) {
    for folder in ["bin", "etc", "tmp", "root", "home", "var", "usr/bin", "usr/sbin", "sbin"] {
        fs::create_dir_all(root.join(folder)).expect("create folder");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))
        .expect("copy busybox (apt-get install busybox-static)");
    let applets = output_of(Command::new("/bin/busybox").arg("--list"));
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let _ = fs::hard_link(root.join("bin/busybox"), root.join("bin").join(applet));
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n";
    fs::write(root.join("etc/passwd"), users).expect("write passwd");
    fs::write(
        root.join("etc/group"),
        "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\nstaff:x:50:nobody\n",
    )
    .expect("write group");
    let _ = output_of(Command::new("chmod").arg("1777").arg(root.join("tmp")));
}

/// One layer: a member of the root folder without some of its parts.
struct Layer {
    member: &'static str,
    excludes: &'static [&'static str],
}

/// Makes an OCI layout once and keeps it in the cache.
fn layout(name: &str, fill: impl FnOnce(&Path) -> Vec<Layer>, config: &Value) -> PathBuf {
    let place = cache().join(format!("{name}-{VERSION}"));
    if place.join("index.json").exists() {
        return place;
    }
    fs::create_dir_all(cache()).expect("create the cache");
    let work =
        tempfile::Builder::new().prefix("image-").tempdir_in(cache()).expect("temporary folder");
    let root = work.path().join("root");
    fs::create_dir_all(&root).expect("create folder");
    let layers = fill(&root);
    let new = work.path().join("layout");
    fs::create_dir_all(new.join("blobs/sha256")).expect("create folder");
    write_layout(&root, &new, &layers, config);
    match fs::rename(&new, &place) {
        Ok(()) => {}
        Err(error) => {
            assert!(place.join("index.json").exists(), "keep {}: {error}", place.display());
        }
    }
    place
}

fn write_layout(root: &Path, layout: &Path, layers: &[Layer], config: &Value) {
    let mut diff_ids = Vec::new();
    let mut descriptors = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let tar = layout.join(format!("layer{index}.tar"));
        let mut command = Command::new("tar");
        command.current_dir(root).args(["--numeric-owner", "--sort=name", "--xattrs"]);
        command.args(layer.excludes.iter().map(|path| format!("--exclude={path}")));
        let _ = output_of(command.arg("-cf").arg(&tar).arg(layer.member));
        diff_ids.push(digest(&tar));
        let _ = output_of(Command::new("gzip").args(["-n", "-6"]).arg(&tar));
        let blob = add_blob(layout, &tar.with_extension("tar.gz"));
        descriptors.push(descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &blob));
    }
    let config = add_json(
        layout,
        &json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": diff_ids.iter().map(|_| json!({"created": "2026-01-01T00:00:00Z", "created_by": "made on this machine"})).collect::<Vec<_>>(),
        }),
    );
    let manifest = add_json(
        layout,
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": descriptors,
        }),
    );
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("write oci-layout");
    let index = json!({
        "schemaVersion": 2,
        "manifests": [descriptor("application/vnd.oci.image.manifest.v1+json", &manifest)],
    });
    fs::write(layout.join("index.json"), index.to_string()).expect("write index");
}

/// A blob in a layout: digest and size.
struct Blob {
    digest: String,
    size: u64,
}

fn descriptor(media_type: &str, blob: &Blob) -> Value {
    json!({"mediaType": media_type, "digest": blob.digest, "size": blob.size})
}

fn digest(path: &Path) -> String {
    let printed = output_of(Command::new("sha256sum").arg(path));
    format!("sha256:{}", printed.split(' ').next().unwrap_or_default())
}

fn add_blob(layout: &Path, file: &Path) -> Blob {
    let digest = digest(file);
    let size = fs::metadata(file).expect("read size").len();
    fs::rename(file, layout.join("blobs").join(digest.replace(':', "/"))).expect("add blob");
    Blob { digest, size }
}

fn add_json(layout: &Path, document: &Value) -> Blob {
    let file = layout.join("document.json");
    fs::write(&file, document.to_string()).expect("write document");
    add_blob(layout, &file)
}
