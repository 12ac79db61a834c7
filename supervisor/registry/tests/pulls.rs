//! Pulls through the services, from a real registry and from one that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/fake_registry.rs"]
mod fake_registry;
#[path = "support/supervisor.rs"]
mod supervisor;

use contracts_supervisor_api::any::{pack, unpack};
use contracts_supervisor_api::types::transfer::{
    AuthRequest, AuthResponse, AuthType, OciRegistry, Progress, RegistryResolver,
};
use fake_registry::{Answer, FakeRegistry, image, layer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use supervisor::{NAMESPACE, Supervisor, place, request, store};
use supervisor_content::labels::Labels;
use supervisor_snapshots::{NewSnapshot, Snapshotter};
use tests_harness::{Registry, images};
use tonic::Code;

/// The layers of an image's snapshots, topmost first, by way of the label on its configuration.
fn layers(supervisor: &Supervisor) -> Vec<PathBuf> {
    let label = "containerd.io/gc.ref.snapshot.overlayfs";
    let top = supervisor
        .content
        .list(NAMESPACE)
        .unwrap()
        .into_iter()
        .find_map(|info| info.labels.get(label).cloned())
        .unwrap();
    let none = Labels::new();
    let new = NewSnapshot { key: "look", parent: &top, labels: &none, lease: None };
    let mounts = supervisor.snapshots.prepare(NAMESPACE, new).unwrap();
    supervisor.snapshots.remove(NAMESPACE, "look").unwrap();
    let lower = mounts[0].options.iter().find_map(|option| option.strip_prefix("lowerdir="));
    lower.unwrap().split(':').map(PathBuf::from).collect()
}

fn events_of(events: &[Progress], name: &str) -> Vec<String> {
    let own = events.iter().filter(|event| event.name == name);
    let mut names: Vec<String> = own.map(|event| event.event.clone()).collect();
    names.dedup();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debian_image_comes_from_a_real_registry_whole() {
    let registry = Registry::start();
    registry.push(&images::debian(), "library/debian:latest");
    let reference = format!("{}/library/debian:latest", registry.address());
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let events = supervisor.pull(&reference).await.unwrap();

    let image = supervisor.image(&reference).unwrap();
    assert!(image.target.unwrap().media_type.contains("manifest"));
    let layers = layers(&supervisor);
    assert_eq!(layers.len(), 3);
    assert!(layers.iter().any(|layer| layer.join("etc/debian_version").exists()));
    assert!(layers[2].join("usr/bin/bash").exists() || layers[2].join("bin").exists());
    for info in supervisor.content.list(NAMESPACE).unwrap() {
        let is_layer = info.labels.contains_key("containerd.io/uncompressed");
        let name = info.digest.as_str();
        if is_layer {
            let seen = events_of(&events, name);
            assert_eq!(seen.first().map(String::as_str), Some("waiting"), "{seen:?}");
            assert_eq!(seen.last().map(String::as_str), Some("complete"), "{seen:?}");
            assert!(seen.iter().any(|event| event == "downloaded"), "{seen:?}");
        }
        let source = "containerd.io/distribution.source.127.0.0.1";
        assert_eq!(info.labels[source], "library/debian");
    }
    let again = supervisor.pull(&reference).await.unwrap();
    assert_eq!(again.iter().filter(|event| event.event == "exists").count(), 3);
    assert!(!again.iter().any(|event| event.event == "downloading"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_it_broke_off_even_after_a_restart() {
    let big: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (objects, digests) = image("n", "t", &[layer("big", &big)]);
    let cuts = AtomicUsize::new(0);
    let registry = FakeRegistry::start(objects, {
        let digest = digests[0].clone();
        move |asked| match cuts.load(Ordering::SeqCst) {
            tries if asked.path.contains(&digest) && tries < 6 => {
                cuts.fetch_add(1, Ordering::SeqCst);
                Answer::Cut(if tries == 0 { 1_000_000 } else { 0 })
            }
            _ => Answer::Right,
        }
    });
    let reference = format!("{}/n:t", registry.address);
    let root = place();
    let first = Supervisor::start(root.path()).await;
    let error = first.pull(&reference).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(first.image(&reference).is_none());
    first.stop().await;

    let second = Supervisor::start(root.path()).await;
    second.pull(&reference).await.unwrap();
    let ranges: Vec<_> = registry
        .asked_for(&digests[0])
        .iter()
        .filter_map(|asked| asked.headers.get("range").cloned())
        .collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|range| range == "bytes=1000000-"));
    let layer = root.path().join("snapshots");
    let found = find(&layer, "big").unwrap();
    assert_eq!(std::fs::read(found).unwrap(), big);
}

/// The first file of this name.
fn find(below: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(below).ok()?.flatten() {
        if entry.file_name() == name {
            return Some(entry.path());
        }
        if let Some(found) = entry.path().is_dir().then(|| find(&entry.path(), name)).flatten() {
            return Some(found);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_its_digest_says_is_refused_and_leaves_nothing() {
    let good = layer("good", b"good");
    let mut bad = good.clone();
    bad[512] = b'G';
    for part in ["blobs/sha256", "manifests/sha256"] {
        let (objects, _) = image("n", "t", std::slice::from_ref(&good));
        let other = bad.clone();
        let registry = FakeRegistry::start(objects, move |asked| {
            if asked.path.contains(part) && asked.method == "GET" {
                Answer::Body(other.clone())
            } else {
                Answer::Right
            }
        });
        let reference = format!("{}/n:t", registry.address);
        let root = place();
        let supervisor = Supervisor::start(root.path()).await;
        assert!(supervisor.pull(&reference).await.is_err(), "{part}");
        assert!(supervisor.image(&reference).is_none());
        let filters = supervisor_metadata::filter::Filters::default();
        assert!(supervisor.snapshots.list(NAMESPACE, &filters).unwrap().is_empty());
        supervisor.snapshots.cleanup().unwrap();
        assert_eq!(find(root.path(), "good"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_not_the_promised_one_never_shows() {
    let (mut objects, digests) = image("n", "t", &[layer("good", b"good")]);
    // The digest of the blob is right, the configuration promises another content.
    let config_path = objects
        .keys()
        .find(|path| path.contains("blobs/") && !path.contains(&digests[0]))
        .cloned()
        .unwrap();
    let old = objects.remove(&config_path).unwrap();
    let lie = String::from_utf8(old.1).unwrap().replace(&digests[0][7..20], "0000000000000");
    let lie_digest = format!("sha256:{}", fake_registry::hex(lie.as_bytes()));
    let old_digest = config_path.rsplit('/').next().unwrap().to_owned();
    objects.insert(format!("n/blobs/{lie_digest}"), (old.0, lie.into_bytes()));
    let (kind, manifest) = objects["n/manifests/t"].clone();
    let manifest = String::from_utf8(manifest).unwrap().replace(&old_digest, &lie_digest);
    let digest = format!("sha256:{}", fake_registry::hex(manifest.as_bytes()));
    for name in ["t", &digest] {
        let object = (kind.clone(), manifest.clone().into_bytes());
        objects.insert(format!("n/manifests/{name}"), object);
    }
    let registry = FakeRegistry::start(objects, |_| Answer::Right);
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let reference = format!("{}/n:t", registry.address);
    let error = supervisor.pull(&reference).await.unwrap_err();
    assert!(error.message().contains("wrong diff id"), "{error}");
    supervisor.snapshots.cleanup().unwrap();
    assert_eq!(find(&root.path().join("snapshots"), "good"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_to_resolve_have_containerds_words_and_codes() {
    let registry = FakeRegistry::start(HashMap::new(), |asked| match asked.path.as_str() {
        path if path.contains("secret") => Answer::Other("403 Forbidden", Vec::new(), Vec::new()),
        path if path.contains("busy") => {
            Answer::Other("429 Too Many Requests", Vec::new(), Vec::new())
        }
        _ => Answer::Right,
    });
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let address = &registry.address;
    let absent = format!("{address}/none:t");
    let error = supervisor.pull(&absent).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(
        error.message(),
        format!("failed to resolve reference {absent:?}: {absent}: not found")
    );
    for (name, code) in [("secret", Code::PermissionDenied), ("busy", Code::ResourceExhausted)] {
        let error = supervisor.pull(&format!("{address}/{name}:t")).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    let error = supervisor.pull("127.0.0.1:1/n:t").await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("127.0.0.1:1"), "{error}");
    assert!(error.message().to_lowercase().contains("refused"), "{error}");
    let error = supervisor.pull("not a reference").await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_of_the_client_and_sent_where_they_belong() {
    let (objects, _) = image("n", "t", &[layer("f", b"x")]);
    let registry = FakeRegistry::start(objects, |asked| {
        let authorization = asked.headers.get("authorization").map(String::as_str);
        if asked.path.starts_with("/token") {
            return match authorization {
                // user:secret
                Some("Basic dXNlcjpzZWNyZXQ=") => {
                    Answer::Other("200 OK", Vec::new(), br#"{"token":"T"}"#.to_vec())
                }
                _ => Answer::Other("401 Unauthorized", Vec::new(), Vec::new()),
            };
        }
        if authorization == Some("Bearer T") {
            return Answer::Right;
        }
        let realm =
            format!("Bearer realm=\"http://{}/token\",service=\"s\"", asked.headers["host"]);
        let headers = vec![("www-authenticate".to_owned(), realm)];
        Answer::Other("401 Unauthorized", headers, Vec::new())
    });
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let reference = format!("{}/n:t", registry.address);

    let anonymous = supervisor.pull(&reference).await.unwrap_err();
    assert_eq!(anonymous.code(), Code::Unauthenticated, "{anonymous}");

    let (answers, mut questions) = supervisor.stream("auth").await;
    let host = registry.address.clone();
    let client = tokio::spawn(async move {
        let question = questions.message().await.unwrap().unwrap();
        let question: AuthRequest = unpack(&question).unwrap();
        assert_eq!(question.host, host);
        assert!(question.wwwauthenticate[0].starts_with("Bearer"));
        let answer = AuthResponse {
            auth_type: AuthType::Credentials.into(),
            username: "user".to_owned(),
            secret: "secret".to_owned(),
            expire_at: None,
        };
        answers.send(pack(&answer)).await.unwrap();
        // A stream that is dropped may lose what was sent on it.
        (answers, questions)
    });
    let resolver =
        RegistryResolver { auth_stream: "auth".to_owned(), ..RegistryResolver::default() };
    supervisor.pull_with(&reference, resolver).await.unwrap();
    drop(client.await.unwrap());
    let tokens = registry.asked_for("/token");
    assert!(tokens.last().unwrap().path.contains("scope=repository%3An%3Apull"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_asked_first_and_the_registry_after_it() {
    let (objects, _) = image("library/n", "t", &[layer("f", b"x")]);
    let mirror = FakeRegistry::start(objects.clone(), |asked| {
        if asked.path.contains("blobs") {
            Answer::Other("500 Internal Server Error", Vec::new(), Vec::new())
        } else {
            Answer::Right
        }
    });
    let upstream = FakeRegistry::start(objects, |_| Answer::Right);
    let root = place();
    let hosts = root.path().join("certs.d/r.example");
    std::fs::create_dir_all(&hosts).unwrap();
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        upstream.address, mirror.address
    );
    std::fs::write(hosts.join("hosts.toml"), text).unwrap();
    let supervisor = Supervisor::start(root.path()).await;
    let resolver = RegistryResolver {
        host_dir: root.path().join("certs.d").display().to_string(),
        ..RegistryResolver::default()
    };
    supervisor.pull_with("r.example/library/n:t", resolver).await.unwrap();
    assert!(mirror.asked_for("manifests/t").iter().all(|a| a.path.ends_with("?ns=r.example")));
    assert!(!mirror.asked_for("manifests/t").is_empty());
    assert!(upstream.asked_for("manifests").is_empty());
    assert_eq!(upstream.asked_for("blobs").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pulls_of_one_image_at_once_download_it_once() {
    let data = vec![7; 2_000_000];
    let (objects, digests) = image("n", "t", &[layer("a", &data), layer("b", &data)]);
    let registry = FakeRegistry::start(objects, |_| Answer::Right);
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let reference = format!("{}/n:t", registry.address);
    let source = pack(&OciRegistry { reference: reference.clone(), resolver: None });
    let pull = || supervisor.transfer(request(&source, &store(&reference), ""));
    let (one, two, three) = tokio::join!(pull(), pull(), pull());
    for pulled in [one, two, three] {
        pulled.unwrap();
    }
    for digest in &digests {
        assert_eq!(registry.asked_for(digest).len(), 1);
    }
    let filters = supervisor_metadata::filter::Filters::default();
    assert_eq!(supervisor.snapshots.list(NAMESPACE, &filters).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_its_pull() {
    let data = vec![7; 4_000_000];
    let (objects, digests) = image("n", "t", &[layer("a", &data)]);
    let registry = FakeRegistry::start(objects, {
        let digest = digests[0].clone();
        move |asked| {
            if asked.path.contains(&digest) { Answer::Cut(1_000_000) } else { Answer::Right }
        }
    });
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let reference = format!("{}/n:t", registry.address);
    let source = pack(&OciRegistry { reference: reference.clone(), resolver: None });
    let (_sender, mut progress) = supervisor.stream("p").await;
    let told = {
        let pull = supervisor.transfer(request(&source, &store(&reference), "p"));
        tokio::pin!(pull);
        loop {
            tokio::select! {
                result = &mut pull => panic!("the pull ended: {result:?}"),
                message = progress.message() => {
                    let message: Progress = unpack(&message.unwrap().unwrap()).unwrap();
                    if message.event == "downloading" && message.progress > 0 {
                        break message.progress.cast_unsigned();
                    }
                }
            }
        }
    };
    // The stream ends with the transfer.
    while let Ok(Some(_)) = progress.message().await {}
    let before = registry.asked_for(&digests[0]).len();
    assert!(before < 5, "{before}");
    assert!(supervisor.image(&reference).is_none());
    let ingests = supervisor.content.statuses(NAMESPACE).unwrap();
    // What the client was told of is kept for the next try. How much that is by now depends on
    // how the network cut it into pieces.
    let kept: Vec<_> = ingests.iter().map(|ingest| ingest.offset).collect();
    assert!(kept.iter().any(|&offset| offset >= told), "{told} told of, kept {kept:?}");
}
