//! The images made on this machine can be pushed to and read from the loopback registry.

#![forbid(unsafe_code)]

use std::process::Command;
use tests_harness::{Registry, output_of};

#[test]
fn debian_has_several_layers_and_every_image_can_be_inspected() {
    let registry = Registry::filled();
    for (name, layers) in [("debian", 3), ("busybox", 1), ("web", 1)] {
        let reference = format!("docker://{}/library/{name}:latest", registry.address());
        let printed =
            output_of(Command::new("skopeo").args(["inspect", "--tls-verify=false", &reference]));
        let document: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(document["Layers"].as_array().unwrap().len(), layers, "{name}");
    }
}
