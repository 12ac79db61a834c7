//! `run` of a bundle by a runtime alone, and the floor.

use crate::contender::{Contender, Place, take_turns};
use crate::options::Options;
use crate::report::{Report, Row};
use crate::samples::Samples;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests_harness::{newest, output_of, program};

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("gantry-bundle-").tempdir()?;
    let bundle = make_bundle(folder.path())?;
    let contender = |name: &'static str, program: PathBuf| {
        let (bundle, root) = (bundle.clone(), folder.path().join(name));
        Contender {
            name,
            command: Box::new(move |run| {
                let mut command = Command::new(&program);
                command.arg("--root").arg(&root).arg("run").arg("--bundle").arg(&bundle);
                command.arg(format!("bench-{run}"));
                command
            }),
            place: Place { network: None, without_unified: true },
        }
    };
    let mut contenders = vec![
        contender("runc", "runc".into()),
        contender("crun", "crun".into()),
        contender("gantry-runtime", program("gantry-runtime")),
    ];
    if options.newest {
        contenders.push(contender("newest runc", newest::programs().join("runc")));
    }
    let samples = take_turns(&contenders, options.runs, options.fast_runs)?;
    let rows = contenders.iter().zip(samples).map(|(c, samples)| Row { name: c.name, samples });
    let mut rows: Vec<Row> = rows.collect();
    rows.push(Row { name: "floor", samples: floor(options.runs * options.fast_runs)? });
    report.times("`run` of a bundle, runtime alone", "crun", rows);
    Ok(())
}

/// A bundle that runs `true`, as `runc spec` makes it.
fn make_bundle(folder: &Path) -> Result<PathBuf> {
    let bundle = folder.join("bundle");
    for name in ["bin", "proc", "sys", "dev", "etc"] {
        fs::create_dir_all(bundle.join("rootfs").join(name))?;
    }
    fs::copy("/bin/busybox", bundle.join("rootfs/bin/true"))?;
    let _ = output_of(Command::new("runc").arg("spec").arg("--bundle").arg(&bundle));
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    fs::write(&path, config.to_string())?;
    Ok(bundle)
}

/// What the kernel alone takes, with a network namespace but nothing in it, as in the bundle.
fn floor(runs: usize) -> Result<Samples> {
    let program = std::env::current_exe()?.with_file_name("bench-floor");
    let mut command = Command::new(&program);
    let output = command
        .args(["--json", "--runs", &runs.to_string()])
        .output()
        .with_context(|| format!("start {} (cargo build -p bench-floor)", program.display()))?;
    if !output.status.success() {
        bail!("bench-floor: {}", String::from_utf8_lossy(&output.stderr));
    }
    let steps: Value = serde_json::from_slice(&output.stdout)?;
    let times = |name: &str| -> Result<Vec<f64>> {
        let list = steps[name].as_array().with_context(|| format!("no step {name:?}"))?;
        Ok(list.iter().filter_map(Value::as_f64).collect())
    };
    let (total, namespace) = (times("total, network ready")?, times("new network namespace")?);
    Ok(Samples::from_milliseconds(total.iter().zip(&namespace).map(|(a, b)| a + b)))
}
