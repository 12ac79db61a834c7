//! Images: names and documents in the supervisor's store, seen as Docker shows them.
//!
//! An image's id is the digest that its name points to (index or manifest), as with Docker's
//! containerd image store. Nothing is kept here but the last few resolved images, which `run`
//! asks for again and again.

mod hello;
mod list;
mod progress;
mod pull;
mod remove;

pub(crate) use pull::write_hosts;

use crate::error::{Error, Result};
use crate::spec::user::Accounts;
use crate::supervisor::{Supervisor, failed, optional};
use base_ids::Digest;
use base_ids::reference::Reference;
use base_oci::image::{ImageConfig, Index, Manifest, media_type};
use contracts_engine_api::oci::{Descriptor, Platform};
use contracts_supervisor_api::services::content::ReadContentRequest;
use contracts_supervisor_api::services::images as api;
use contracts_supervisor_api::types;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Documents larger than this are not read (distribution's limit for manifests).
const MAX_DOCUMENT: usize = 8 << 20;
/// How many resolved images are kept.
const KEPT: usize = 8;
/// Account files longer than this are read again each time.
const MAX_KEPT_ACCOUNTS: usize = 32 * 1024;
/// The name that an image gets when its last one goes while containers use it.
const DANGLING: &str = "moby-dangling@";

/// The image side of the engine.
pub(crate) struct Images {
    supervisor: Supervisor,
    resolved: Mutex<VecDeque<Arc<Resolved>>>,
    /// Account files of the last few images, by their layers.
    accounts: Mutex<VecDeque<(String, Arc<Accounts>)>>,
}

/// A name and what it points to.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) target: types::Descriptor,
    pub(crate) updated_at: Option<contracts_supervisor_api::Timestamp>,
}

/// An image for one platform, with its documents.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The image's id.
    pub(crate) id: Digest,
    wanted: String,
    pub(crate) manifest_descriptor: Descriptor,
    pub(crate) manifest: Manifest,
    pub(crate) config: ImageConfig,
    /// The key of the snapshot with all layers; empty without layers.
    pub(crate) chain: String,
}

impl Images {
    pub(crate) fn new(supervisor: Supervisor) -> Self {
        Self { supervisor, resolved: Mutex::default(), accounts: Mutex::default() }
    }

    /// The account files of an image, when they were read a short while ago.
    pub(crate) fn known_accounts(&self, chain: &str) -> Option<Arc<Accounts>> {
        let kept = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(of, _)| of == chain).map(|(_, accounts)| accounts.clone())
    }

    /// Keeps an image's account files, unless they are unusually long.
    pub(crate) fn remember_accounts(&self, chain: &str, accounts: &Arc<Accounts>) {
        if accounts.passwd.len() + accounts.group.len() > MAX_KEPT_ACCOUNTS {
            return;
        }
        let mut kept = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((chain.to_owned(), accounts.clone()));
        kept.truncate(KEPT);
    }

    /// Finds an image by name, id or unique beginning of an id.
    pub(crate) async fn find(&self, text: &str) -> Result<Named> {
        let parsed = Reference::parse(text);
        if let Ok(reference) = &parsed
            && let Some(found) = self.get(&reference.to_string()).await?
        {
            return Ok(found);
        }
        let missing = || match &parsed {
            Ok(reference) if !is_id(text) => Error::NoSuchImage(reference.familiar()),
            _ => Error::NoSuchImage(text.to_owned()),
        };
        let all = self.all().await?;
        if let Ok(reference) = &parsed
            && let Some(digest) = reference.digest()
        {
            let of_name = |image: &&Named| {
                Reference::parse_bare(&image.name).is_ok_and(|r| r.name() == reference.name())
            };
            let found = all.iter().filter(of_name).find(|image| image.target.digest == digest);
            return found.cloned().ok_or_else(missing);
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if !is_id(text) {
            return Err(missing());
        }
        let hex = |image: &Named| image.target.digest.trim_start_matches("sha256:").to_owned();
        let mut hits: Vec<&Named> = all.iter().filter(|i| hex(i).starts_with(prefix)).collect();
        hits.sort_by(|a, b| a.target.digest.cmp(&b.target.digest));
        hits.dedup_by(|a, b| a.target.digest == b.target.digest);
        match hits[..] {
            [one] => Ok(one.clone()),
            [] => Err(missing()),
            _ => Err(Error::AmbiguousPrefix(text.to_owned())),
        }
    }

    /// The image of a full name.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Named>> {
        let request = self.supervisor.call(api::GetImageRequest { name: name.to_owned() });
        let answer = optional(self.supervisor.images().get(request).await);
        let answer = answer.map_err(failed("look up image"))?;
        Ok(answer.and_then(|answer| answer.into_inner().image).and_then(named))
    }

    /// Every name.
    pub(crate) async fn all(&self) -> Result<Vec<Named>> {
        let request = self.supervisor.call(api::ListImagesRequest::default());
        let answer = self.supervisor.images().list(request).await.map_err(failed("list images"))?;
        Ok(answer.into_inner().images.into_iter().filter_map(named).collect())
    }

    /// Reads an image's documents for a platform (`None`: this machine's).
    pub(crate) async fn resolve(
        &self,
        target: &types::Descriptor,
        platform: Option<&Platform>,
    ) -> Result<Arc<Resolved>> {
        let host = host_platform();
        let wanted = platform.unwrap_or(&host);
        let key = format!("{} {}", target.digest, platform_text(wanted));
        let hit = self.cache().iter().find(|resolved| resolved.wanted == key).cloned();
        if let Some(hit) = hit {
            return Ok(hit);
        }
        let resolved = Arc::new(self.read(target, wanted, platform.is_some(), key).await?);
        let mut cache = self.cache();
        cache.push_front(resolved.clone());
        cache.truncate(KEPT);
        Ok(resolved)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Resolved>>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(
        &self,
        target: &types::Descriptor,
        wanted: &Platform,
        strict: bool,
        key: String,
    ) -> Result<Resolved> {
        let id: Digest = target.digest.parse().map_err(|e| Error::internal("read image", e))?;
        let mut descriptor = Descriptor {
            media_type: target.media_type.clone(),
            digest: target.digest.clone(),
            size: target.size,
            ..Descriptor::default()
        };
        if media_type::is_index(&target.media_type) {
            let index: Index = self.document(&target.digest).await?;
            let fits = |one: &&base_oci::image::Descriptor| {
                one.platform.as_ref().is_some_and(|p| {
                    p.os == wanted.os
                        && p.architecture == wanted.architecture
                        && (wanted.variant.is_empty() || p.variant == wanted.variant)
                })
            };
            let chosen = index
                .manifests
                .iter()
                .find(fits)
                .or_else(|| index.manifests.iter().find(|one| one.platform.is_none()))
                .ok_or_else(|| Error::NoSuchImage(target.digest.clone()))?;
            descriptor = api_descriptor(chosen);
        }
        let manifest: Manifest = self.document(&descriptor.digest).await?;
        let config_digest =
            manifest.config.as_ref().map(|config| config.digest.clone()).unwrap_or_default();
        let config: ImageConfig = self.document(&config_digest).await?;
        let own = Platform {
            architecture: config.architecture.clone(),
            os: config.os.clone(),
            variant: config.variant.clone(),
            ..Platform::default()
        };
        if strict && (own.os != wanted.os || own.architecture != wanted.architecture) {
            return Err(Error::NoSuchImage(target.digest.clone()));
        }
        descriptor.platform.get_or_insert(own);
        let diff_ids = config.rootfs.as_ref().map(|rootfs| rootfs.diff_ids.as_slice());
        let chain = chain_ids(diff_ids.unwrap_or_default()).pop().unwrap_or_default();
        Ok(Resolved { id, wanted: key, manifest_descriptor: descriptor, manifest, config, chain })
    }

    /// Reads a JSON blob.
    pub(crate) async fn document<T: serde::de::DeserializeOwned>(&self, digest: &str) -> Result<T> {
        let request = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
        let request = self.supervisor.call(request);
        let answer = self.supervisor.content().read(request).await;
        let mut stream = answer.map_err(failed("read image document"))?.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = stream.message().await.map_err(failed("read image document"))? {
            bytes.extend_from_slice(&part.data);
            if bytes.len() > MAX_DOCUMENT {
                return Err(Error::internal("read image document", format!("{digest} is too big")));
            }
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::internal("read image document", format!("{digest}: {e}")))
    }

    pub(crate) const fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }
}

/// The keys under which each layer's snapshot is committed (image-spec, ChainID).
pub(crate) fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    use sha2::Digest as _;
    let mut chain: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => {
                let hash = sha2::Sha256::digest(format!("{below} {diff_id}"));
                Digest::from_sha256(&hash.into()).as_str().to_owned()
            }
        };
        chain.push(next);
    }
    chain
}

/// The platform that this machine runs.
pub(crate) fn host_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    Platform { architecture: architecture.into(), os: "linux".into(), ..Platform::default() }
}

/// Reads `os/arch[/variant]`, `arch`; empty is `None`.
pub(crate) fn parse_platform(text: &str) -> Result<Option<Platform>> {
    if text.is_empty() {
        return Ok(None);
    }
    let architecture = |name: &str| match name {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        "i386" | "i686" => "386".to_owned(),
        other => other.to_lowercase(),
    };
    let parts: Vec<&str> = text.split('/').collect();
    let (os, name, variant) = match parts[..] {
        ["linux"] => return Ok(Some(host_platform())),
        [name] => ("linux", name, ""),
        [os, name] => (os, name, ""),
        [os, name, variant] => (os, name, variant),
        _ => {
            return Err(Error::invalid(format!(
                "{text:?}: cannot parse platform specifier: invalid argument"
            )));
        }
    };
    Ok(Some(Platform {
        architecture: architecture(name),
        os: os.to_lowercase(),
        variant: variant.to_owned(),
        ..Platform::default()
    }))
}

/// `os/arch[/variant]`.
pub(crate) fn platform_text(platform: &Platform) -> String {
    let Platform { os, architecture, variant, .. } = platform;
    if variant.is_empty() {
        format!("{os}/{architecture}")
    } else {
        format!("{os}/{architecture}/{variant}")
    }
}

/// The first twelve digits of a digest, for people.
pub(crate) fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

fn named(image: api::Image) -> Option<Named> {
    Some(Named { name: image.name, target: image.target?, updated_at: image.updated_at })
}

fn api_descriptor(descriptor: &base_oci::image::Descriptor) -> Descriptor {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: descriptor.size,
        urls: some(&descriptor.urls),
        annotations: (!descriptor.annotations.is_empty()).then(|| descriptor.annotations.clone()),
        platform: descriptor.platform.as_ref().map(|p| Platform {
            architecture: p.architecture.clone(),
            os: p.os.clone(),
            os_version: p.os_version.clone(),
            os_features: some(&p.os_features),
            variant: p.variant.clone(),
        }),
        ..Descriptor::default()
    }
}

/// Whether a text can be (the beginning of) an id.
fn is_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    (4..=64).contains(&hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_follow_the_image_specification() {
        let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
        let chain = chain_ids(&[a.clone(), b]);
        assert_eq!(chain[0], a);
        // printf '%s %s' sha256:aaa… sha256:bbb… | sha256sum
        assert_eq!(
            chain[1],
            "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"
        );
        assert!(chain_ids(&[]).is_empty());
    }

    #[test]
    fn platforms_are_read_as_people_write_them() {
        let text = |t: &str| platform_text(&parse_platform(t).unwrap().unwrap());
        assert_eq!(text("linux/arm64/v8"), "linux/arm64/v8");
        assert_eq!(text("x86_64"), "linux/amd64");
        assert!(parse_platform("").unwrap().is_none());
        assert!(parse_platform("a/b/c/d").is_err());
    }
}
