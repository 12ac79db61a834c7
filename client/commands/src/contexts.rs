//! Docker's contexts: named daemons in the user's configuration directory.
//!
//! `contexts/meta/<sha256 of the name>/meta.json` has name, description and host;
//! `contexts/tls/<sha256>/docker/` has `ca.pem`, `cert.pem` and `key.pem`. The context `default` is
//! no entry: it is the host that flags and environment say.

use client_http::{Endpoint, TlsFiles, parse_host};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The context that is no entry.
pub const DEFAULT: &str = "default";
/// What `context ls` says of it.
pub(crate) const DEFAULT_DESCRIPTION: &str = "Current DOCKER_HOST based configuration";
/// The files of a TLS identity.
pub(crate) const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
/// The longest file that is read.
const MAX_LENGTH: u64 = 1024 * 1024;

/// The contexts of one configuration directory.
#[derive(Clone, Debug)]
pub struct Contexts(PathBuf);

/// A context as it is kept. Unknown fields belong to other tools, and are kept too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Meta(Value);

impl Meta {
    pub(crate) fn new(name: &str) -> Self {
        Self(json!({"Name": name, "Metadata": {}, "Endpoints": {}}))
    }

    pub(crate) fn text(&self) -> &Value {
        &self.0
    }

    pub(crate) fn name(&self) -> &str {
        self.0["Name"].as_str().unwrap_or_default()
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        self.0["Name"] = name.into();
    }

    pub(crate) fn description(&self) -> &str {
        self.0["Metadata"]["Description"].as_str().unwrap_or_default()
    }

    pub(crate) fn set_description(&mut self, text: &str) {
        self.0["Metadata"]["Description"] = text.into();
    }

    pub(crate) fn host(&self) -> &str {
        self.0["Endpoints"]["docker"]["Host"].as_str().unwrap_or_default()
    }

    pub(crate) fn skips_verification(&self) -> bool {
        self.0["Endpoints"]["docker"]["SkipTLSVerify"].as_bool().unwrap_or_default()
    }

    pub(crate) fn set_host(&mut self, host: &str, skip_verification: bool) {
        self.0["Endpoints"]["docker"] = json!({"Host": host, "SkipTLSVerify": skip_verification});
    }
}

impl Contexts {
    /// The contexts below the user's configuration directory.
    #[must_use]
    pub fn below(config_directory: &Path) -> Self {
        Self(config_directory.join("contexts"))
    }

    pub(crate) fn meta_directory(&self, name: &str) -> PathBuf {
        self.0.join("meta").join(hash(name))
    }

    pub(crate) fn tls_directory(&self, name: &str) -> PathBuf {
        self.0.join("tls").join(hash(name))
    }

    /// The names of all entries, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join("meta")).into_iter().flatten().flatten();
        let metas = entries.filter_map(|entry| read_meta(&entry.path().join("meta.json")).ok());
        let mut names: Vec<String> = metas.map(|meta| meta.name().to_owned()).collect();
        names.sort();
        names
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.meta_directory(name).join("meta.json").exists()
    }

    /// A context by its name.
    ///
    /// # Errors
    ///
    /// In Docker's words, when there is none or it cannot be read.
    pub(crate) fn read(&self, name: &str) -> Result<Meta, String> {
        let path = self.meta_directory(name).join("meta.json");
        read_meta(&path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                let path = path.display();
                let why = "no such file or directory";
                format!("context {name:?}: context not found: open {path}: {why}")
            } else {
                format!("context {name:?}: {}: {error}", path.display())
            }
        })
    }

    /// Adds or replaces a context.
    pub(crate) fn write(&self, meta: &Meta) -> Result<(), String> {
        let directory = self.meta_directory(meta.name());
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&directory)?;
            replace(&directory.join("meta.json"), meta.0.to_string().as_bytes(), 0o644)
        };
        write().map_err(|error| format!("cannot write {}: {error}", directory.display()))
    }

    /// Puts a file of the TLS identity into a context.
    pub(crate) fn write_tls(&self, name: &str, file: &str, content: &[u8]) -> Result<(), String> {
        let directory = self.tls_directory(name).join("docker");
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&directory)?;
            replace(&directory.join(file), content, 0o600)
        };
        write().map_err(|error| format!("cannot write {}: {error}", directory.display()))
    }

    /// The files of a context's TLS identity, as far as it has them.
    pub(crate) fn tls_files(&self, name: &str) -> Vec<&'static str> {
        let directory = self.tls_directory(name).join("docker");
        TLS_FILES.into_iter().filter(|file| directory.join(file).exists()).collect()
    }

    /// Takes a context away; one that is not there is no error.
    pub(crate) fn remove(&self, name: &str) -> Result<(), String> {
        for directory in [self.meta_directory(name), self.tls_directory(name)] {
            match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("cannot remove {}: {error}", directory.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The daemon of a context.
    ///
    /// # Errors
    ///
    /// In Docker's words, when there is none of that name or its host is not usable.
    pub fn endpoint(&self, name: &str) -> Result<Endpoint, String> {
        let meta = self.read(name)?;
        if meta.host().is_empty() {
            return Err(format!("context {name:?} has no docker endpoint"));
        }
        let directory = self.tls_directory(name).join("docker");
        let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
        let tls = directory.is_dir().then(|| TlsFiles {
            ca: file(TLS_FILES[0]),
            certificate: file(TLS_FILES[1]),
            key: file(TLS_FILES[2]),
            verify: !meta.skips_verification(),
            server_name: None,
        });
        parse_host(meta.host(), tls).map_err(|error| error.to_string())
    }
}

fn hash(name: &str) -> String {
    hex::encode(Sha256::digest(name.as_bytes()))
}

fn read_meta(path: &Path) -> std::io::Result<Meta> {
    let length = path.metadata()?.len();
    if length > MAX_LENGTH {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    let value: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    if value.is_object() { Ok(Meta(value)) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// Replaces a file's content in one step.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_found_by_the_hash_of_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let contexts = Contexts::below(directory.path());
        // sha256 of "foo"
        let hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let missing = contexts.endpoint("foo").unwrap_err();
        assert!(missing.contains("context not found") && missing.contains(hash), "{missing}");
        let meta = directory.path().join("contexts/meta").join(hash);
        std::fs::create_dir_all(&meta).unwrap();
        let text = r#"{"Name":"foo","Endpoints":{"docker":{"Host":"tcp://a:1"}}}"#;
        std::fs::write(meta.join("meta.json"), text).unwrap();
        assert_eq!(contexts.endpoint("foo").unwrap().host, "tcp://a:1");
        assert_eq!(contexts.names(), ["foo"]);
    }

    #[test]
    fn what_is_written_is_read_and_removed_with_its_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let contexts = Contexts::below(directory.path());
        let mut meta = Meta::new("far");
        meta.set_host("tcp://b:2", true);
        meta.set_description("there");
        contexts.write(&meta).unwrap();
        contexts.write_tls("far", "key.pem", b"secret").unwrap();
        assert_eq!(contexts.read("far").unwrap(), meta);
        assert_eq!(contexts.tls_files("far"), ["key.pem"]);
        contexts.remove("far").unwrap();
        contexts.remove("far").unwrap();
        assert!(!contexts.contains("far") && contexts.tls_files("far").is_empty());
    }
}
