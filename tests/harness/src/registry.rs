//! Debian's docker-registry on loopback.

use crate::{images, output_of, wait};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A registry of the test's own; it ends on drop.
pub struct Registry {
    process: Child,
    port: u16,
    storage: tempfile::TempDir,
}

impl Registry {
    /// Starts an empty registry on a free port.
    ///
    /// # Panics
    /// When it does not listen within a minute.
    #[must_use]
    pub fn start() -> Self {
        let storage = tempfile::Builder::new()
            .prefix("gantry-registry-")
            .tempdir()
            .expect("temporary folder");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let configuration = storage.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
            storage.path().join("data").display()
        );
        std::fs::write(&configuration, text).expect("write the registry's configuration");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start docker-registry (apt-get install docker-registry)");
        wait::until("the registry to listen", Duration::from_secs(60), || {
            assert!(matches!(process.try_wait(), Ok(None)), "docker-registry has ended");
            TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        });
        Self { process, port, storage }
    }

    /// A registry that holds `library/debian`, `library/busybox` and `library/web`.
    #[must_use]
    pub fn filled() -> Self {
        let registry = Self::start();
        for (name, layout) in
            [("debian", images::debian()), ("busybox", images::busybox()), ("web", images::web())]
        {
            registry.push(&layout, &format!("library/{name}:latest"));
        }
        registry
    }

    /// The folder with its `data`.
    #[must_use]
    pub fn storage(&self) -> &Path {
        self.storage.path()
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What `gantryd --registry-mirror` takes.
    #[must_use]
    pub fn mirror(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Puts an OCI layout into the registry with skopeo.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn push(&self, layout: &Path, name: &str) {
        let _ = output_of(Command::new("skopeo").args([
            "copy",
            "--insecure-policy",
            "--dest-tls-verify=false",
            &format!("oci:{}", layout.display()),
            &format!("docker://{}/{name}", self.address()),
        ]));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
