//! `run --rm IMAGE true`, from the start of the client's process to its end.

use crate::contender::{Contender, Place, run_to_success, take_turns};
use crate::options::Options;
use crate::peers::{self, IMAGE, Podman};
use crate::report::{Report, Row};
use anyhow::Result;
use tests_harness::docker_clients;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let dockerd = peers::dockerd();
    let (gantryd, image) = peers::gantryd(&[]);
    let newest = options.newest.then(peers::newest_dockerd);
    let podman = Podman::new()?;
    let docker = &docker_clients()[0];
    let mut contenders = vec![
        Contender {
            name: "docker.io",
            job: Box::new(|_| {
                let mut command = std::process::Command::new(docker);
                command.arg("-H").arg(dockerd.docker_host()).args(["run", "--rm", IMAGE, "true"]);
                run_to_success(&mut command)
            }),
            place: Place::default(),
        },
        Contender {
            name: "gantry",
            job: Box::new(|_| {
                run_to_success(&mut gantryd.gantry_command(&["run", "--rm", &image, "true"]))
            }),
            place: Place::default(),
        },
        Contender {
            name: "docker client on gantryd",
            job: Box::new(|_| {
                let arguments = ["run", "--rm", &image, "true"];
                run_to_success(&mut gantryd.client_command(docker, &arguments))
            }),
            place: Place::default(),
        },
        Contender {
            name: "podman",
            job: Box::new(|_| {
                // Podman's defaults are above what a root without CAP_SYS_RESOURCE may set.
                let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
                let arguments = [&["run", "--rm"], &limits[..], &[IMAGE, "true"]].concat();
                run_to_success(&mut podman.command(&arguments))
            }),
            place: Place {
                network: Some(peers::network_of(dockerd.pid())?),
                without_unified: true,
            },
        },
    ];
    if let Some(newest) = &newest {
        contenders.push(Contender {
            name: "newest dockerd",
            job: Box::new(|_| {
                let mut command = std::process::Command::new(docker);
                command.arg("-H").arg(newest.docker_host()).args(["run", "--rm", IMAGE, "true"]);
                run_to_success(&mut command)
            }),
            place: Place::default(),
        });
    }
    let samples = take_turns(&contenders, options.runs, options.fast_runs)?;
    let rows = contenders.iter().zip(samples).map(|(c, samples)| Row { name: c.name, samples });
    report.times("`run --rm IMAGE true`, whole process", "docker.io", rows.collect());
    Ok(())
}
