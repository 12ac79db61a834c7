//! Listing, inspecting, tagging; history.

use super::{Named, Resolved, chain_ids, named, short};
use crate::error::{Error, Result};
use crate::requests::ImageListOptions;
use crate::shared::Shared;
use crate::supervisor::{SNAPSHOTTER, failed};
use crate::until::until;
use base_errors::Kind;
use base_ids::Digest;
use base_ids::reference::Reference;
use contracts_engine_api::container::HealthConfig;
use contracts_engine_api::image::{
    HistoryItem, Identity, ImageConfig, ImageProperties, InspectResponse, ManifestSize,
    ManifestSummary, Metadata, PullIdentity, RootFs, Summary, UnpackedSize,
};
use contracts_engine_api::oci::Descriptor;
use contracts_supervisor_api::services::content::InfoRequest;
use contracts_supervisor_api::services::images::{CreateImageRequest, Image, UpdateImageRequest};
use contracts_supervisor_api::services::snapshots::UsageRequest;
use contracts_supervisor_api::{FieldMask, labels, status, types};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

const FILTERS: [&str; 7] = ["before", "dangling", "label", "label!", "reference", "since", "until"];

/// One image with all its names.
struct Group {
    target: types::Descriptor,
    names: Vec<String>,
    updated: i64,
}

/// An image's size on disk.
#[derive(Clone, Copy, Default)]
struct Sizes {
    content: i64,
    unpacked: i64,
}

impl super::Images {
    /// Bytes of an image's unpacked layers.
    pub(crate) async fn unpacked_size(&self, id: &Digest) -> Result<i64> {
        let all = self.all().await?;
        let found = all.iter().find(|image| image.target.digest == id.as_str());
        let found = found.ok_or_else(|| Error::NoSuchImage(id.as_str().to_owned()))?;
        let resolved = self.resolve(&found.target, None).await?;
        Ok(self.sizes(&resolved).await.unpacked)
    }

    async fn sizes(&self, resolved: &Resolved) -> Sizes {
        let blobs = resolved.manifest.config.iter().chain(&resolved.manifest.layers);
        let content = blobs.map(|blob| blob.size).sum::<i64>() + resolved.manifest_descriptor.size;
        let mut unpacked = 0;
        let rootfs = resolved.config.rootfs.as_ref();
        for key in chain_ids(rootfs.map(|r| r.diff_ids.as_slice()).unwrap_or_default()) {
            let request = UsageRequest { snapshotter: SNAPSHOTTER.to_owned(), key };
            let request = self.supervisor.call(request);
            // A layer that is not unpacked takes no space.
            let answer = self.supervisor.snapshots().usage(request).await;
            unpacked += answer.map_or(0, |answer| answer.into_inner().size);
        }
        Sizes { content, unpacked }
    }

    /// Where an image was pulled from, as its manifest's labels say; `None` where they do not.
    async fn identity(&self, digest: &str) -> Option<Identity> {
        let request = self.supervisor.call(InfoRequest { digest: digest.to_owned() });
        // What cannot be told is left out.
        let info = self.supervisor.content().info(request).await.ok()?.into_inner().info?;
        let mut repositories: Vec<String> = Vec::new();
        for (label, value) in &info.labels {
            let Some(host) = label.strip_prefix(labels::SOURCE_PREFIX) else { continue };
            repositories.extend(value.split(',').map(|repository| format!("{host}/{repository}")));
        }
        repositories.sort_unstable();
        repositories.dedup();
        let pull = repositories.into_iter().map(|repository| PullIdentity { repository });
        let pull: Vec<PullIdentity> = pull.collect();
        (!pull.is_empty()).then_some(Identity { pull: Some(pull) })
    }
}

impl Shared {
    /// `GET /images/json`.
    pub(crate) async fn image_list(&self, options: ImageListOptions) -> Result<Vec<Summary>> {
        let filters = &options.filters;
        let invalid =
            |e: contracts_engine_api::filters::InvalidFilter| Error::invalid(e.to_string());
        filters.accept_only(&FILTERS).map_err(invalid)?;
        let dangling = filters.flag("dangling").map_err(invalid)?;
        let until = until(filters)?.map(Timestamp::as_second);
        let mut limits = BTreeMap::new();
        for key in ["before", "since"] {
            if let Some(name) = filters.get(key).next() {
                let found = self.images.find(name).await?;
                let resolved = self.images.resolve(&found.target, None).await?;
                limits.insert(key, created(&resolved));
            }
        }
        let mut summaries = Vec::new();
        for group in group(self.images.all().await?) {
            let Ok(resolved) = self.images.resolve(&group.target, None).await else {
                // Not for this machine, or not all there: shown by those who have it.
                continue;
            };
            let (tags, digests) = repository_names(&group);
            let at = created(&resolved);
            let labels = resolved.config.config.as_ref().and_then(|config| config.labels.clone());
            let fits = dangling.is_none_or(|wanted| wanted == tags.is_empty())
                && filters.matches_pairs("label", labels.as_ref())
                && limits.get("before").is_none_or(|limit| at < *limit)
                && limits.get("since").is_none_or(|limit| at > *limit)
                && until.is_none_or(|until| at <= until)
                && reference_fits(filters.get("reference"), &tags);
            if !fits {
                continue;
            }
            summaries.push(self.summary(&group, &resolved, tags, digests, &options).await);
        }
        summaries.sort_by_key(|summary| std::cmp::Reverse(summary.created));
        Ok(summaries)
    }

    async fn summary(
        &self,
        group: &Group,
        resolved: &Arc<Resolved>,
        repo_tags: Vec<String>,
        repo_digests: Vec<String>,
        options: &ImageListOptions,
    ) -> Summary {
        let sizes = self.images.sizes(resolved).await;
        let users = self.image_users(&group.target.digest);
        let manifests = options
            .manifests
            .then(|| vec![manifest_summary(group, resolved, sizes, users.clone())]);
        Summary {
            containers: i64::try_from(users.len()).unwrap_or(i64::MAX),
            created: created(resolved),
            id: group.target.digest.clone(),
            labels: resolved.config.config.as_ref().and_then(|config| config.labels.clone()),
            descriptor: Some(descriptor(&group.target)),
            manifests,
            repo_digests,
            repo_tags,
            shared_size: if options.shared_size { 0 } else { -1 },
            size: sizes.content + sizes.unpacked,
            ..Summary::default()
        }
    }

    /// Ids of the containers that were made from an image.
    pub(super) fn image_users(&self, digest: &str) -> Vec<String> {
        let all = self.containers.all();
        let of = |c: &&Arc<crate::container::Container>| c.record.image.id.as_str() == digest;
        all.iter().filter(of).map(|container| container.id().to_string()).collect()
    }

    /// `GET /images/{name}/json`.
    pub(crate) async fn image_inspect(
        &self,
        name: &str,
        manifests: bool,
    ) -> Result<InspectResponse> {
        let found = self.images.find(name).await?;
        let resolved = self.images.resolve(&found.target, None).await?;
        let digest = &found.target.digest;
        let all = self.images.all().await?;
        let of: Vec<Named> = all.into_iter().filter(|i| i.target.digest == *digest).collect();
        let Some(group) = group(of).pop() else {
            return Err(Error::NoSuchImage(name.to_owned()));
        };
        let (repo_tags, repo_digests) = repository_names(&group);
        let sizes = self.images.sizes(&resolved).await;
        let config = &resolved.config;
        let rootfs = config.rootfs.clone().unwrap_or_default();
        let tagged = Timestamp::from_second(group.updated).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(InspectResponse {
            id: digest.clone(),
            repo_tags,
            repo_digests,
            comment: config.history.last().map(|last| last.comment.clone()).unwrap_or_default(),
            created: config.created.clone().unwrap_or_default(),
            author: config.author.clone(),
            config: Some(api_config(&resolved)),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            os: config.os.clone(),
            os_version: config.os_version.clone(),
            size: sizes.content + sizes.unpacked,
            root_fs: RootFs { kind: rootfs.kind, layers: Some(rootfs.diff_ids) },
            metadata: Metadata { last_tag_time: tagged.to_string() },
            descriptor: Some(descriptor(&group.target)),
            manifests: manifests.then(|| {
                vec![manifest_summary(&group, &resolved, sizes, self.image_users(digest))]
            }),
            identity: self.images.identity(digest).await,
            ..InspectResponse::default()
        })
    }

    /// `GET /images/{name}/history`.
    pub(crate) async fn image_history(&self, name: &str) -> Result<Vec<HistoryItem>> {
        let found = self.images.find(name).await?;
        let resolved = self.images.resolve(&found.target, None).await?;
        let mut layers = resolved.manifest.layers.iter();
        let mut items: Vec<HistoryItem> = resolved
            .config
            .history
            .iter()
            .map(|step| HistoryItem {
                comment: step.comment.clone(),
                created: seconds(step.created.as_deref()),
                created_by: step.created_by.clone(),
                id: "<missing>".to_owned(),
                size: if step.empty_layer {
                    0
                } else {
                    layers.next().map_or(0, |layer| layer.size)
                },
                tags: None,
            })
            .collect();
        items.reverse();
        if let Some(first) = items.first_mut() {
            first.id.clone_from(&found.target.digest);
            first.tags = Reference::parse_bare(&found.name).ok().map(|r| vec![r.familiar()]);
        }
        Ok(items)
    }

    /// `POST /images/{name}/tag`.
    pub(crate) async fn image_tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let found = self.images.find(name).await?;
        let mut wanted = Reference::parse_bare(repository)?;
        if !tag.is_empty() {
            wanted = wanted.with(tag)?;
        }
        if wanted.digest().is_some() {
            return Err(Error::invalid("refusing to create a tag with a digest reference"));
        }
        let wanted = Reference::parse(&wanted.to_string())?;
        self.images.set_name(&wanted.to_string(), found.target.clone()).await?;
        let attributes = [("name".to_owned(), wanted.familiar())].into();
        self.events.emit("image", "tag", &found.target.digest, attributes);
        Ok(())
    }
}

impl super::Images {
    /// Lets a name point to an image, whatever it pointed to before.
    pub(super) async fn set_name(&self, name: &str, target: types::Descriptor) -> Result<Named> {
        let image = Image { name: name.to_owned(), target: Some(target), ..Image::default() };
        let request = CreateImageRequest { image: Some(image.clone()), source_date_epoch: None };
        let created = self.supervisor.images().create(self.supervisor.call(request)).await;
        let image = match created {
            Ok(answer) => answer.into_inner().image,
            Err(error) if status::kind(&error) == Kind::AlreadyExists => {
                let request = UpdateImageRequest {
                    image: Some(image),
                    update_mask: Some(FieldMask { paths: vec!["target".to_owned()] }),
                    source_date_epoch: None,
                };
                let updated = self.supervisor.images().update(self.supervisor.call(request)).await;
                updated.map_err(failed("name image"))?.into_inner().image
            }
            Err(error) => return Err(failed("name image")(error)),
        };
        image.and_then(named).ok_or_else(|| Error::internal("name image", "empty answer"))
    }
}

fn group(images: Vec<Named>) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for image in images {
        let updated = image.updated_at.map_or(0, |time| time.seconds);
        let group = groups.entry(image.target.digest.clone()).or_insert_with(|| Group {
            target: image.target.clone(),
            names: Vec::new(),
            updated,
        });
        group.updated = group.updated.max(updated);
        group.names.push(image.name);
    }
    groups.into_values().collect()
}

/// `RepoTags` and `RepoDigests`.
fn repository_names(group: &Group) -> (Vec<String>, Vec<String>) {
    let (mut tags, mut digests) = (Vec::new(), Vec::new());
    for name in group.names.iter().filter(|name| !name.starts_with(super::DANGLING)) {
        let Ok(reference) = Reference::parse_bare(name) else { continue };
        if reference.tag().is_some() {
            tags.push(reference.familiar());
        }
        let digest = format!("{}@{}", reference.familiar_name(), group.target.digest);
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    }
    (tags, digests)
}

/// Whether one of the tags fits one of the patterns (`debian`, `deb*:1?`).
fn reference_fits<'a>(patterns: impl Iterator<Item = &'a str>, tags: &[String]) -> bool {
    let mut any = false;
    for pattern in patterns {
        any = true;
        let fits = |tag: &String| {
            let bare = tag.rsplit_once(':').map_or(tag.as_str(), |(name, _)| name);
            wildcard(pattern, tag) || wildcard(pattern, bare)
        };
        if tags.iter().any(fits) {
            return true;
        }
    }
    !any
}

/// `*` and `?`, neither of which crosses a slash.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut source = String::from("^");
    for c in pattern.chars() {
        match c {
            '*' => source.push_str("[^/]*"),
            '?' => source.push_str("[^/]"),
            c if c.is_alphanumeric() => source.push(c),
            c => {
                source.push('\\');
                source.push(c);
            }
        }
    }
    source.push('$');
    regex_lite::Regex::new(&source).is_ok_and(|pattern| pattern.is_match(text))
}

fn created(resolved: &Resolved) -> i64 {
    seconds(resolved.config.created.as_deref())
}

fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|time| time.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
}

fn descriptor(target: &types::Descriptor) -> Descriptor {
    Descriptor {
        media_type: target.media_type.clone(),
        digest: target.digest.clone(),
        size: target.size,
        ..Descriptor::default()
    }
}

fn manifest_summary(
    group: &Group,
    resolved: &Resolved,
    sizes: Sizes,
    containers: Vec<String>,
) -> ManifestSummary {
    let Sizes { content, unpacked } = sizes;
    let id = resolved.manifest_descriptor.digest.clone();
    ManifestSummary {
        // An index says what its manifests are for; a manifest alone does not.
        descriptor: if id == group.target.digest {
            descriptor(&group.target)
        } else {
            resolved.manifest_descriptor.clone()
        },
        id,
        available: true,
        size: ManifestSize { content, total: content + unpacked },
        kind: "image".to_owned(),
        image_data: Some(ImageProperties {
            platform: resolved.manifest_descriptor.platform.clone().unwrap_or_default(),
            size: UnpackedSize { unpacked },
            containers,
        }),
    }
}

fn api_config(resolved: &Resolved) -> ImageConfig {
    let Some(config) = resolved.config.config.clone() else { return ImageConfig::default() };
    let set = |set: Option<base_oci::image::Set>| {
        set.map(|set| set.into_keys().map(|key| (key, Default::default())).collect())
    };
    ImageConfig {
        user: config.user,
        exposed_ports: set(config.exposed_ports),
        env: config.env,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        volumes: set(config.volumes),
        working_dir: config.working_dir,
        labels: config.labels,
        stop_signal: config.stop_signal,
        args_escaped: config.args_escaped,
        healthcheck: config.healthcheck.map(|health| HealthConfig {
            test: health.test,
            interval: health.interval.unwrap_or_default(),
            timeout: health.timeout.unwrap_or_default(),
            start_period: health.start_period.unwrap_or_default(),
            start_interval: health.start_interval.unwrap_or_default(),
            retries: health.retries.unwrap_or_default(),
        }),
        on_build: config.on_build,
        shell: config.shell,
    }
}

/// How an image is called in texts about conflicts.
pub(super) fn short_id(digest: &str) -> &str {
    short(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names_with_and_without_tags() {
        let tags = ["debian:12".to_owned(), "localhost:5000/a/b:1".to_owned()];
        let fits = |pattern: &str| reference_fits([pattern].into_iter(), &tags);
        assert!(fits("debian") && fits("deb*") && fits("*:1?"));
        assert!(fits("localhost:5000/*/b"));
        assert!(!fits("ubuntu") && !fits("localhost*"));
        assert!(reference_fits(std::iter::empty(), &[]));
    }
}
