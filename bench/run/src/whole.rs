//! `run --rm IMAGE true`, from the start of the client's process to its end.

use crate::contender::{Contender, Place, run_to_success, take_turns};
use crate::options::Options;
use crate::peers::{self, IMAGE, Podman};
use crate::report::{Report, rows};
use anyhow::Result;
use tests_harness::docker_clients;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let dockerd = peers::dockerd();
    let (gantryd, image) = peers::gantryd(&[]);
    let newest = options.newest.then(peers::newest_dockerd);
    let podman = Podman::new()?;
    let docker = &docker_clients()[0];
    let mut contenders = vec![
        Contender::new("docker.io", Place::default(), |_| {
            let mut command = std::process::Command::new(docker);
            command.arg("-H").arg(dockerd.docker_host()).args(["run", "--rm", IMAGE, "true"]);
            run_to_success(&mut command)
        }),
        Contender::new("gantry", Place::default(), |_| {
            run_to_success(&mut gantryd.gantry_command(&["run", "--rm", &image, "true"]))
        }),
        Contender::new("docker client on gantryd", Place::default(), |_| {
            let arguments = ["run", "--rm", &image, "true"];
            run_to_success(&mut gantryd.client_command(docker, &arguments))
        }),
        Contender::new(
            "podman",
            Place { network: Some(peers::network_of(dockerd.pid())?), without_unified: true },
            |_| {
                // Podman's defaults are above what a root without CAP_SYS_RESOURCE may set.
                let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
                let arguments = [&["run", "--rm"], &limits[..], &[IMAGE, "true"]].concat();
                run_to_success(&mut podman.command(&arguments))
            },
        ),
    ];
    if let Some(newest) = &newest {
        contenders.push(Contender::new("newest dockerd", Place::default(), |_| {
            let mut command = std::process::Command::new(docker);
            command.arg("-H").arg(newest.docker_host()).args(["run", "--rm", IMAGE, "true"]);
            run_to_success(&mut command)
        }));
    }
    let samples = take_turns(&contenders, options.runs, options.fast_runs)?;
    report.times("`run --rm IMAGE true`, whole process", "docker.io", rows(&contenders, samples));
    Ok(())
}
