//! `stats` shows a load that is known: half a processor, forty mebibytes, a counted transfer.

#![forbid(unsafe_code)]

use std::time::Duration;
use tests_engine::{Client, Stage};
use tests_harness::wait;

/// Two samples apart, as `--no-stream` takes them.
fn sample(client: &Client<'_>, name: &str) -> serde_json::Value {
    let line = client.ok(&["stats", "--no-stream", "--format", "{{json .}}", name]);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// A size as docker prints it (`40.5MiB`, `1.2kB`), in bytes.
fn bytes(text: &str) -> f64 {
    let digits = text.trim().find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.trim().split_at(digits);
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        other => panic!("unit {other:?} in {text:?}"),
    };
    number.parse::<f64>().unwrap_or_else(|error| panic!("{text}: {error}")) * factor
}

fn within_a_tenth(found: f64, expected: f64) -> Result<(), String> {
    let off = (found - expected).abs() / expected;
    if off <= 0.1 { Ok(()) } else { Err(format!("{found} instead of {expected}")) }
}

#[test]
fn processor_memory_and_network_are_within_a_tenth() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let script =
            "dd if=/dev/zero of=/dev/shm/load bs=1M count=40 2>/dev/null; while :; do :; done";
        let _ = client
            .ok(&["run", "-d", "--name", "load", "--cpus", "0.5", "busybox", "sh", "-c", script]);
        let serve =
            "dd if=/dev/zero of=/tmp/file bs=1000 count=5000 2>/dev/null; httpd -f -p 80 -h /tmp";
        let _ = client.ok(&["run", "-d", "--name", "server", "busybox", "sh", "-c", serve]);
        let address = client.ok(&[
            "inspect",
            "-f",
            "{{.NetworkSettings.Networks.bridge.IPAddress}}",
            "server",
        ]);
        let fetch = format!("wget -qO /dev/null http://{address}/file");
        wait::until("the transfer", Duration::from_secs(20), || {
            let output = client.run(&["run", "--rm", "busybox", "sh", "-c", &fetch]);
            if output.status.success() { Ok(()) } else { Err(tests_harness::describe(&output)) }
        });
        // The machine may take the processor away for a moment: a later sample counts as well.
        wait::until("half a processor and forty mebibytes", Duration::from_secs(30), || {
            let load = sample(&client, "load");
            let processor = load["CPUPerc"].as_str().unwrap_or_default().trim_end_matches('%');
            within_a_tenth(processor.parse().unwrap_or(0.0), 50.0)?;
            let memory = load["MemUsage"].as_str().unwrap_or_default();
            within_a_tenth(bytes(memory.split('/').next().unwrap_or_default()), bytes("40MiB"))
        });
        let server = sample(&client, "server");
        let sent = server["NetIO"].as_str().and_then(|io| io.split('/').nth(1)).map_or(0.0, bytes);
        // Five million bytes and what TCP, IP and Ethernet add to them.
        assert!(within_a_tenth(sent, 5.0e6).is_ok(), "{server}");
        let _ = client.ok(&["rm", "-f", "load", "server"]);
    }
}
