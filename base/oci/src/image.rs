//! Image documents (image-spec 1.1 and Docker's schema 2, which has the same shape).

use std::collections::BTreeMap;

/// Media types.
pub mod media_type {
    /// OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, plain tar.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// OCI empty document `{}`.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, plain tar.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, zstd.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// Docker layer that is fetched from elsewhere.
    pub const DOCKER_FOREIGN_LAYER: &str =
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

    /// Whether a document of this type lists manifests.
    #[must_use]
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, INDEX | DOCKER_LIST)
    }

    /// Whether a document of this type is an image's manifest.
    #[must_use]
    pub fn is_manifest(media_type: &str) -> bool {
        matches!(media_type, MANIFEST | DOCKER_MANIFEST)
    }

    /// Whether a document of this type is an image's configuration.
    #[must_use]
    pub fn is_config(media_type: &str) -> bool {
        matches!(media_type, CONFIG | DOCKER_CONFIG)
    }

    /// Whether a blob of this type is a layer, of whatever compression.
    #[must_use]
    pub fn is_layer(media_type: &str) -> bool {
        media_type.starts_with(LAYER) || media_type.starts_with(DOCKER_LAYER)
    }
}

/// Keys of well-known annotations.
pub mod annotation {
    /// The tag that an index entry stands for.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// The full image name, containerd's.
    pub const CONTAINERD_IMAGE_NAME: &str = "io.containerd.image.name";
}

document! {
    /// A reference to a blob.
    Descriptor {
        @required {
            /// What the blob is.
            media_type: String,
            /// Its digest, `sha256:…`.
            digest: String,
            /// Its length in bytes.
            size: i64,
        }
        /// Places to fetch it from.
        urls: Vec<String>,
        /// Free key and value pairs.
        annotations: BTreeMap<String, String>,
        /// The blob itself, base64.
        data: Option<String>,
        /// Which machines it is for.
        platform: Option<Platform>,
        /// What kind of artifact it is.
        artifact_type: String,
    }
}

document! {
    /// A kind of machine.
    Platform {
        @required {
            /// `amd64` and so on.
            architecture: String,
            /// `linux` and so on.
            os: String,
        }
        /// Version of the system.
        #[serde(rename = "os.version")]
        os_version: String,
        /// What the system must have.
        #[serde(rename = "os.features")]
        os_features: Vec<String>,
        /// Variant of the architecture, `v8` and so on.
        variant: String,
    }
}

document! {
    /// A list of manifests.
    Index {
        @required {
            /// 2.
            schema_version: i32,
        }
        /// Its own media type.
        media_type: String,
        /// What kind of artifact it is.
        artifact_type: String,
        /// The manifests.
        manifests: Vec<Descriptor>,
        /// What this is about.
        subject: Option<Descriptor>,
        /// Free key and value pairs.
        annotations: BTreeMap<String, String>,
    }
}

document! {
    /// One image: its configuration and its layers.
    Manifest {
        @required {
            /// 2.
            schema_version: i32,
        }
        /// Its own media type.
        media_type: String,
        /// What kind of artifact it is.
        artifact_type: String,
        /// The configuration.
        config: Option<Descriptor>,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
        /// What this is about.
        subject: Option<Descriptor>,
        /// Free key and value pairs.
        annotations: BTreeMap<String, String>,
    }
}

document! {
    /// An image configuration.
    ImageConfig {
        @required {
            /// `amd64` and so on.
            architecture: String,
            /// `linux` and so on.
            os: String,
        }
        /// When it was made, RFC 3339.
        created: Option<String>,
        /// Who made it.
        author: String,
        /// Version of the system.
        #[serde(rename = "os.version")]
        os_version: String,
        /// What the system must have.
        #[serde(rename = "os.features")]
        os_features: Vec<String>,
        /// Variant of the architecture.
        variant: String,
        /// Defaults of a container made from it.
        config: Option<ContainerDefaults>,
        /// The layers' uncompressed digests.
        rootfs: Option<RootFs>,
        /// How each layer came to be.
        history: Vec<History>,
        /// Docker: version of the builder.
        #[serde(rename = "docker_version")]
        docker_version: String,
        /// Docker: free text.
        comment: String,
    }
}

document! {
    /// The layers' uncompressed digests.
    RootFs {
        @required {
            /// `layers`.
            #[serde(rename = "type")]
            kind: String,
            /// Digests of the uncompressed tars, lowest first.
            #[serde(rename = "diff_ids")]
            diff_ids: Vec<String>,
        }
    }
}

document! {
    /// How one layer came to be.
    History {
        /// When, RFC 3339.
        created: Option<String>,
        /// By which command.
        #[serde(rename = "created_by")]
        created_by: String,
        /// By whom.
        author: String,
        /// Free text.
        comment: String,
        /// Whether there is no layer for it.
        #[serde(rename = "empty_layer")]
        empty_layer: bool,
    }
}

/// A JSON object used as a set: `{"80/tcp": {}}`.
pub type Set = BTreeMap<String, Empty>;

document! {
    /// `{}`.
    Empty {}
}

/// Defaults of a container made from an image. Its fields begin with capitals in JSON.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerDefaults {
    /// User, `name|uid[:group|gid]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports that the program listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<Set>,
    /// Environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Program and first arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Further arguments, or the program where there is no entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Folders that become volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Set>,
    /// Working directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks the program to end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Windows: whether the arguments are already escaped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// Docker: how to tell whether the program is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Docker: instructions run when another image is built on this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// Docker: the shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// Docker's health check; times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", …]` or `["NONE"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// Nanoseconds between checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// Nanoseconds after which a check has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Nanoseconds in which failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i64>,
    /// Nanoseconds between checks in the start period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<i64>,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_configuration_survives_a_round_trip() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"ExposedPorts":{"80/tcp":{}},"Env":["PATH=/bin"],"Cmd":["sh"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:00"]},"history":[{"created_by":"x","empty_layer":true}]}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
    }

    #[test]
    fn layers_of_every_compression_are_layers() {
        use media_type::{DOCKER_LAYER_GZIP, LAYER_ZSTD, MANIFEST, is_layer};
        assert!(is_layer(LAYER_ZSTD) && is_layer(DOCKER_LAYER_GZIP) && !is_layer(MANIFEST));
    }
}
