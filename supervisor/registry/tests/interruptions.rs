//! Pulls that are interrupted: by the supervisor's death at every step, by a registry that stalls,
//! breaks off or sends something else, by a full disk. Nothing unverified is ever visible, the
//! error says what happened, and the next pull goes on where this one ended.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/fake_registry.rs"]
mod fake_registry;
#[path = "support/process.rs"]
mod process;
#[path = "support/supervisor.rs"]
mod supervisor;

use contracts_supervisor_api::Timestamp;
use contracts_supervisor_api::any::pack;
use contracts_supervisor_api::labels::GC_EXPIRE;
use contracts_supervisor_api::services::leases::Lease;
use contracts_supervisor_api::types::transfer::OciRegistry;
use fake_registry::{Answer, FakeRegistry, Objects, hex, image, layer};
use process::Process;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use supervisor::{Client, NAMESPACE, Supervisor, place, request, store};
use supervisor_metadata::SnapshotRecord;
use supervisor_metadata::filter::Filters;
use supervisor_snapshots::Snapshotter;
use tests_harness::wait::until;
use tonic::{Code, Status};

/// As long as a stalled registry is waited for here.
const STALL: Duration = Duration::from_secs(1);

/// A program that the tests of this file start, kill and fill the disk of.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no test: it serves until it is killed"]
async fn serve_until_killed() {
    process::serve().await;
}

/// The content of the layer's only file.
fn data_of(number: u8) -> Vec<u8> {
    (0..1_500_000_u32).map(|at| (at % 251) as u8 ^ number).collect()
}

/// Where a file of an unpacked layer is.
fn find(below: &Path, name: &str) -> Option<PathBuf> {
    let snapshots = std::fs::read_dir(below).ok()?;
    let paths = snapshots.map(|entry| entry.unwrap().path().join("fs").join(name));
    paths.into_iter().find(|path| path.exists())
}

/// An image of three layers with a file each, `f0` to `f2`, and the layers' digests.
fn three_layers() -> (Objects, Vec<String>) {
    let layers: Vec<_> = (0..3).map(|n| layer(&format!("f{n}"), &data_of(n))).collect();
    image("n", "t", &layers)
}

/// Whatever is visible in a data root is whole and what it should be.
fn assert_only_verified(data: &Path, supervisor: &Supervisor) {
    for entry in std::fs::read_dir(data.join("content/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(hex(&std::fs::read(&path).unwrap()), name, "a blob is not its digest");
    }
    for info in supervisor.content.list(NAMESPACE).unwrap() {
        let digest = info.digest.parse().unwrap();
        let (_, length) = supervisor.content.read(NAMESPACE, &digest).unwrap();
        assert_eq!(length, u64::try_from(info.size).unwrap());
    }
    // What a failed pull was still unpacking is deleted when that has ended.
    let numbers = until("the rests to be gone", Duration::from_secs(60), || {
        supervisor.snapshots.cleanup().unwrap();
        let prefix = SnapshotRecord::key_of("overlayfs", "");
        let records: Vec<SnapshotRecord> =
            supervisor.records.list_below(NAMESPACE, &prefix).unwrap();
        let mut numbers: Vec<_> = records.iter().map(|record| record.number.to_string()).collect();
        let mut directories: Vec<_> = std::fs::read_dir(data.join("snapshots"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        numbers.sort();
        directories.sort();
        if numbers == directories { Ok(numbers) } else { Err(format!("{directories:?}")) }
    });
    for number in numbers {
        let layer = data.join("snapshots").join(number).join("fs");
        let files: Vec<_> = std::fs::read_dir(layer).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1);
        let name = files[0].file_name().into_string().unwrap();
        assert_eq!(std::fs::read(files[0].path()).unwrap(), data_of(name.as_bytes()[1] - b'0'));
    }
}

fn assert_whole(data: &Path, supervisor: &Supervisor, reference: &str) {
    assert!(supervisor.image(reference).is_some());
    assert_only_verified(data, supervisor);
    assert_eq!(supervisor.snapshots.list(NAMESPACE, &Filters::default()).unwrap().len(), 3);
}

async fn pull(client: &Client, reference: &str) -> Result<(), Status> {
    let source = pack(&OciRegistry { reference: reference.to_owned(), resolver: None });
    client.transfer(request(&source, &store(reference), "")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_may_die_at_every_step_of_a_pull() {
    let (objects, digests) = three_layers();
    let withheld = Arc::new(AtomicBool::new(false));
    let registry = FakeRegistry::start(objects, {
        let withheld = Arc::clone(&withheld);
        move |asked| {
            let is_layer = digests.iter().any(|digest| asked.path.contains(digest));
            if is_layer && withheld.load(Ordering::SeqCst) {
                return Answer::Other("403 Forbidden", Vec::new(), Vec::new());
            }
            Answer::Right
        }
    });
    let reference = format!("{}/n:t", registry.address);
    let steps = base_faults::STEPS.iter();
    for step in steps.filter(|step| step.operation == base_faults::Operation::Pull) {
        // The first blob is the manifest; with the documents there already, it is a layer.
        for with_documents in [false, true] {
            let root = place();
            let process = Process::start(root.path()).await;
            if with_documents {
                withheld.store(true, Ordering::SeqCst);
                pull(&process.client, &reference).await.unwrap_err();
                withheld.store(false, Ordering::SeqCst);
            }
            process.arm(step);
            if pull(&process.client, &reference).await.is_ok() {
                // What the first try has begun is not begun again.
                let begun_before = with_documents && step.name == "supervisor.pull.blob-begun";
                assert!(begun_before, "{} is not on the way", step.name);
                continue;
            }
            assert!(process.reached(step), "{} is not on the way", step.name);
            process.kill();

            let data = Process::data(root.path());
            let again = Supervisor::start(&data).await;
            let named = again.image(&reference).is_some();
            assert_eq!(named, step.name == "supervisor.pull.named", "{}", step.name);
            assert_only_verified(&data, &again);
            pull(&again, &reference).await.unwrap();
            assert_whole(&data, &again, &reference);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_download_goes_on_where_it_was() {
    let (objects, digests) = three_layers();
    let stalls = AtomicUsize::new(1);
    let registry = FakeRegistry::start(objects, {
        let digest = digests[1].clone();
        move |asked| {
            let is_first = asked.path.contains(&digest) && stalls.swap(0, Ordering::SeqCst) == 1;
            if is_first { Answer::Stall(1_200_000) } else { Answer::Right }
        }
    });
    let reference = format!("{}/n:t", registry.address);
    let root = place();
    let process = Process::start(root.path()).await;
    let pulling = tokio::spawn({
        let (client, reference) = (process.client.clone(), reference.clone());
        async move { pull(&client, &reference).await }
    });
    let ingests = Process::data(root.path()).join("content/ingest");
    until("half a layer on disk", Duration::from_secs(60), || {
        let entries = std::fs::read_dir(&ingests).map_err(|error| error.to_string())?;
        let is_stalled = |path: &PathBuf| {
            std::fs::read_to_string(path.join("ref")).is_ok_and(|name| name.ends_with(&digests[1]))
        };
        let stalled = entries.filter_map(|entry| Some(entry.ok()?.path())).find(is_stalled);
        let length = stalled.map_or(0, |path| path.join("data").metadata().map_or(0, |m| m.len()));
        if length >= 600_000 { Ok(()) } else { Err(length.to_string()) }
    });
    process.kill();
    pulling.await.unwrap().unwrap_err();

    let data = Process::data(root.path());
    let again = Supervisor::start(&data).await;
    assert!(again.image(&reference).is_none());
    assert_only_verified(&data, &again);
    pull(&again, &reference).await.unwrap();
    let asked = registry.asked_for(&digests[1]);
    let range = asked.last().unwrap().headers.get("range").cloned().unwrap_or_default();
    let start: u64 = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
    assert!(start >= 600_000, "{range}");
    assert_whole(&data, &again, &reference);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_stalls_ends_the_pull_and_what_came_is_kept() {
    let (objects, digests) = three_layers();
    for part in ["manifests/t", "manifests/sha256", "config", "layer"] {
        let stalls = AtomicUsize::new(0);
        let (digest, layers) = (digests[0].clone(), digests.clone());
        let registry = FakeRegistry::start(objects.clone(), move |asked| {
            let is_blob = asked.path.contains("blobs/");
            let is_layer = layers.iter().any(|layer| asked.path.contains(layer));
            let stalled = match part {
                "config" => is_blob && !is_layer,
                "layer" => asked.path.contains(&digest),
                // What cannot be learnt from its headers is asked for again.
                "manifests/t" => asked.path.contains(part) && asked.method == "GET",
                _ => asked.path.contains(part),
            };
            // Until the pull has given up, whatever it tries. A manifest is asked for once.
            let times = if part.starts_with("manifests") { 2 } else { 5 };
            if stalled && stalls.fetch_add(1, Ordering::SeqCst) < times {
                let range = asked.headers.contains_key("range");
                return Answer::Stall(if part == "layer" && !range { 900_000 } else { 0 });
            }
            if part == "manifests/t" && asked.method == "HEAD" {
                return Answer::Other("200 OK", Vec::new(), Vec::new());
            }
            Answer::Right
        });
        let reference = format!("{}/n:t", registry.address);
        let root = place();
        let supervisor = Supervisor::start_at(&root.path().join("s"), root.path(), STALL).await;
        let mut errors = Vec::new();
        while errors.len() < 6 {
            match pull(&supervisor, &reference).await {
                Ok(()) => break,
                Err(error) => errors.push(error),
            }
            assert!(supervisor.image(&reference).is_none());
            assert_only_verified(root.path(), &supervisor);
        }
        assert!((1..6).contains(&errors.len()), "{part}: {errors:?}");
        for error in errors {
            assert_eq!(error.code(), Code::Unavailable, "{part}: {error}");
            assert!(error.message().contains("i/o timeout"), "{part}: {error}");
            assert!(error.message().contains(&registry.address), "{part}: {error}");
        }
        assert_whole(root.path(), &supervisor, &reference);
        if part == "layer" {
            let asked = registry.asked_for(&digests[0]);
            let range = asked.last().unwrap().headers.get("range").cloned().unwrap_or_default();
            let start: u64 =
                range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
            // A machine that stands still looks like a registry that does.
            assert!((600_000..=900_000).contains(&start), "{range}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_pull_keeps_no_other_from_unpacking() {
    let stalled: Vec<_> = (0..20).map(|n| layer(&format!("s{n}"), b"stalled")).collect();
    let (objects, digests) = image("stalled", "t", &stalled);
    let stalling = FakeRegistry::start(objects, move |asked| {
        let is_layer = digests.iter().any(|digest| asked.path.contains(digest));
        if is_layer { Answer::Stall(0) } else { Answer::Right }
    });
    let (objects, _) = three_layers();
    let good = FakeRegistry::start(objects, |_| Answer::Right);
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    let stalled = tokio::spawn({
        let client = Client::clone(&supervisor);
        let reference = format!("{}/stalled:t", stalling.address);
        async move { pull(&client, &reference).await }
    });
    until("downloads that stand still", Duration::from_secs(60), || {
        let asked = stalling.asked_for("blobs/").len();
        // The configuration, and as many layers as are downloaded at once.
        if asked > 3 { Ok(()) } else { Err(asked.to_string()) }
    });
    let reference = format!("{}/n:t", good.address);
    // The stalled one gives up after five minutes.
    let pulled = tokio::time::timeout(Duration::from_secs(60), pull(&supervisor, &reference)).await;
    pulled.expect("the other pull goes on").unwrap();
    assert!(!stalled.is_finished());
    assert!(supervisor.image(&reference).is_some());
    stalled.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_too_short_too_long_or_another_is_refused() {
    let (objects, digests) = three_layers();
    let right = objects[&format!("n/blobs/{}", digests[2])].1.clone();
    let mut other = right.clone();
    other[1000] ^= 1;
    let long = [&right[..], b"more"].concat();
    for (sent, code, words) in [
        (right[..right.len() - 1].to_vec(), Code::Internal, "ended a blob too early"),
        (long, Code::FailedPrecondition, "longer than announced"),
        (other, Code::FailedPrecondition, "unexpected commit digest"),
    ] {
        let lies = AtomicUsize::new(0);
        let digest = digests[2].clone();
        let registry = FakeRegistry::start(objects.clone(), move |asked| {
            if asked.path.contains(&digest) && lies.fetch_add(1, Ordering::SeqCst) < 5 {
                Answer::Body(sent.clone())
            } else {
                Answer::Right
            }
        });
        let reference = format!("{}/n:t", registry.address);
        let root = place();
        let supervisor = Supervisor::start(root.path()).await;
        let error = pull(&supervisor, &reference).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert!(supervisor.image(&reference).is_none());
        assert_only_verified(root.path(), &supervisor);
        while pull(&supervisor, &reference).await.is_err() {
            assert!(registry.asked_for(&digests[2]).len() < 10, "it never recovers");
        }
        assert_whole(root.path(), &supervisor, &reference);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_pull_had_stored_is_kept_for_the_next_one() {
    let (objects, digests) = three_layers();
    let withheld = Arc::new(AtomicBool::new(true));
    let registry = FakeRegistry::start(objects, {
        let (withheld, layers) = (Arc::clone(&withheld), digests.clone());
        let others = AtomicUsize::new(0);
        move |asked| {
            if layers[..2].iter().any(|layer| asked.path.contains(layer)) {
                let _ = others.fetch_add(1, Ordering::SeqCst);
            }
            if asked.path.contains(&layers[2]) && withheld.load(Ordering::SeqCst) {
                // The others, asked for by now, have come by the time of the last try.
                let both = || others.load(Ordering::SeqCst) >= 2;
                assert!(tests_harness::wait::whether(Duration::from_secs(60), both));
                return Answer::Other("503 Service Unavailable", Vec::new(), Vec::new());
            }
            Answer::Right
        }
    });
    let reference = format!("{}/n:t", registry.address);
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    pull(&supervisor, &reference).await.unwrap_err();
    // As the supervisor does when a transfer has ended.
    let garbage = supervisor_metadata::gc::collect(&supervisor.records).await.unwrap();
    assert!(garbage.is_empty(), "{garbage:?}");
    withheld.store(false, Ordering::SeqCst);
    pull(&supervisor, &reference).await.unwrap();
    for digest in &digests[..2] {
        assert_eq!(registry.asked_for(digest).len(), 1);
    }
    let kept = until("the pull's lease to be gone", Duration::from_secs(60), || {
        let leases: Vec<Lease> = supervisor.records.list(NAMESPACE).unwrap();
        if leases.len() == 1 { Ok(leases) } else { Err(leases.len().to_string()) }
    });
    let expiry: Timestamp = kept[0].labels[GC_EXPIRE].parse().unwrap();
    let left = expiry.seconds - supervisor_metadata::now().seconds;
    assert!((1..=3600).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_that_are_wrong_are_fetched_again_in_the_same_pull() {
    let (objects, digests) = three_layers();
    let registry = FakeRegistry::start(objects.clone(), |_| Answer::Right);
    let reference = format!("{}/n:t", registry.address);
    let length = objects[&format!("n/blobs/{}", digests[0])].1.len();
    // Torn by power loss; more than there is, as another manifest said; whole but for a bit.
    for left in [vec![0; 100_000], vec![1; length + 7], vec![2; length]] {
        let root = place();
        let supervisor = Supervisor::start(root.path()).await;
        let ingest = format!("layer-{}", digests[0]);
        let mut writer = supervisor.content.writer(NAMESPACE, &ingest, 0, None).unwrap();
        writer.write(&left).unwrap();
        drop(writer);
        pull(&supervisor, &reference).await.unwrap();
        assert_whole(root.path(), &supervisor, &reference);
        assert!(supervisor.content.statuses(NAMESPACE).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_not_the_one_asked_for_is_not_taken() {
    let (objects, digests) = three_layers();
    let asked_before = AtomicUsize::new(0);
    let digest = digests[0].clone();
    let registry = FakeRegistry::start(objects, move |asked| {
        if !asked.path.contains(&digest) {
            return Answer::Right;
        }
        match asked_before.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::Cut(600_000),
            1 => {
                let range = ("content-range".to_owned(), "bytes 5-9/10".to_owned());
                Answer::Other("206 Partial Content", vec![range], b"wrong".to_vec())
            }
            _ => Answer::Right,
        }
    });
    let reference = format!("{}/n:t", registry.address);
    let root = place();
    let supervisor = Supervisor::start(root.path()).await;
    pull(&supervisor, &reference).await.unwrap();
    assert_whole(root.path(), &supervisor, &reference);
    assert_eq!(registry.asked_for(&digests[0]).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_pull_at_whatever_it_is_writing() {
    let (objects, _) = three_layers();
    let registry = FakeRegistry::start(objects, |_| Answer::Right);
    let reference = format!("{}/n:t", registry.address);
    // Blobs and unpacked layers are nine megabytes together: full at different steps.
    for kibibytes in [1600, 2500, 4000, 5500, 7000, 8500] {
        let root = place();
        let process = Process::start_on_disk(root.path(), kibibytes).await;
        let error = pull(&process.client, &reference).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{kibibytes}: {error}");
        assert!(error.message().contains("No space left on device"), "{kibibytes}: {error}");
        assert!(process.image(&reference).is_none(), "{kibibytes}");
        // Still full: the same error, no crash, no harm.
        pull(&process.client, &reference).await.unwrap_err();
        process.resize(64 << 10);
        pull(&process.client, &reference).await.unwrap();
        assert!(process.image(&reference).is_some());
        for number in 0..3 {
            let file = find(&process.disk().join("snapshots"), &format!("f{number}")).unwrap();
            assert_eq!(std::fs::read(file).unwrap(), data_of(number), "{kibibytes}");
        }
    }
}
