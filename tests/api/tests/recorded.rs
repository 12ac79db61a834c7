//! Our daemon answers as the original did.

use tests_api::difference::{self, Known};
use tests_api::recording::Recording;
use tests_api::scenario::{VERSIONS, steps};
use tests_harness::{Daemon, Registry};

#[test]
fn answers_differ_from_the_originals_only_where_it_is_known() {
    let registry = Registry::filled();
    let mirror = registry.mirror();
    let mut differences = Vec::new();
    for version in VERSIONS {
        let daemon = Daemon::start(&["--registry-mirror", &mirror]);
        let _ = daemon.gantry_ok(&["pull", "web"]);
        let ours =
            Recording::take("gantryd", &daemon.socket(), &registry.address(), version, &steps())
                .unwrap();
        let reference = Recording::load(version).unwrap();
        differences.extend(difference::between(version, &reference, &ours));
    }
    let known = Known::load().unwrap();
    let (new, stale) = difference::judge(&differences, &known);
    let show = |lines: Vec<String>| lines.join("\n");
    assert!(
        new.is_empty() && stale.is_empty(),
        "new differences (version, step, place, original, ours):\n{}\n\nknown ones that are gone, \
         to be deleted from known-differences.tsv:\n{}\n",
        show(new.iter().map(ToString::to_string).collect()),
        show(stale.iter().map(ToString::to_string).collect()),
    );
}
