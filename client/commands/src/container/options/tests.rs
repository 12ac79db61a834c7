//! Whole command lines to requests.

use super::{CREATE_FLAGS, create_request};
use crate::arguments::Arguments;
use crate::session::Session;
use contracts_engine_api::container::CreateRequest;

fn request(line: &str) -> Result<CreateRequest, String> {
    let words = shlex::split(line).unwrap();
    let arguments =
        Arguments::read(&[CREATE_FLAGS], &words, false).map_err(|error| error.to_string())?;
    create_request(&Session::of_tests(&[("HERE", "1")]), &arguments)
}

#[test]
fn a_plain_run_attaches_output_only() {
    let request = request("busybox true -x").unwrap();
    let config = &request.config;
    assert_eq!(config.image, "busybox");
    assert_eq!(config.cmd.as_deref(), Some(&["true".to_owned(), "-x".to_owned()][..]));
    assert!(config.attach_stdout && config.attach_stderr && !config.attach_stdin);
    assert!(!config.open_stdin && !config.stdin_once && !config.tty);
    let host = request.host_config.unwrap();
    assert_eq!(host.network_mode, "default");
    assert_eq!(host.restart_policy.name, "no");
    assert_eq!((host.memory_swappiness, host.pids_limit), (Some(-1), Some(0)));
    assert_eq!(request.networking_config.unwrap().endpoints_config.unwrap().len(), 0);
}

#[test]
fn an_interactive_run_opens_and_closes_stdin() {
    let config = request("-it --name x busybox").unwrap().config;
    assert!(config.attach_stdin && config.open_stdin && config.stdin_once && config.tty);
    assert_eq!(config.cmd, None);
    let config = request("-a stdout -i busybox").unwrap().config;
    assert!(!config.attach_stdin && !config.attach_stderr && config.open_stdin);
}

#[test]
fn resources_reach_the_host_config() {
    let line = "-m 64m --memory-swap -1 --cpus 1.5 --pids-limit 10 --ulimit nofile=5:9 -c 7 \
                --shm-size 1g --device /dev/fuse:/dev/f:r --restart on-failure:3 x";
    let host = request(line).unwrap().host_config.unwrap();
    assert_eq!((host.memory, host.memory_swap, host.nano_cpus), (64 << 20, -1, 1_500_000_000));
    assert_eq!((host.pids_limit, host.cpu_shares, host.shm_size), (Some(10), 7, 1 << 30));
    let limit = &host.ulimits.unwrap()[0];
    assert_eq!((limit.name.as_str(), limit.soft, limit.hard), ("nofile", 5, 9));
    assert_eq!(host.devices.unwrap()[0].path_in_container, "/dev/f");
    assert_eq!(host.restart_policy.maximum_retry_count, 3);
}

#[test]
fn variables_come_from_flags_and_from_our_environment() {
    let config = request("-e A=1 -e HERE -e GONE -l a=b --entrypoint '' x").unwrap().config;
    assert_eq!(config.env.unwrap(), ["A=1", "HERE=1", "GONE"]);
    assert_eq!(config.labels.unwrap()["a"], "b");
    assert_eq!(config.entrypoint.unwrap(), [""]);
}

#[test]
fn networks_have_their_own_options() {
    let request = request("--network name=n,alias=a --ip 1.2.3.4 --network m x");
    assert!(request.is_ok(), "{request:?}");
    let request = request.unwrap();
    assert_eq!(request.host_config.unwrap().network_mode, "n");
    let endpoints = request.networking_config.unwrap().endpoints_config.unwrap();
    assert_eq!(endpoints.len(), 2);
    let first = endpoints["n"].as_ref().unwrap();
    assert_eq!(first.ipam_config.as_ref().unwrap().ipv4_address, "1.2.3.4");
}

#[test]
fn security_options_open_paths_and_carry_profiles() {
    let host = request("--security-opt systempaths=unconfined --security-opt no-new-privileges x");
    let host = host.unwrap().host_config.unwrap();
    assert_eq!(host.masked_paths, Some(vec![]));
    assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
}

#[test]
fn contradictions_are_told_in_dockers_words() {
    for (line, words) in [
        ("--uts x i", "--uts: invalid UTS mode"),
        ("--pid x i", "--pid: invalid PID mode"),
        ("--memory-swappiness 101 i", "Valid memory swappiness range is 0-100"),
        ("--log-driver none --log-opt a=b i", "invalid logging opts for driver none"),
        ("--no-healthcheck --health-cmd x i", "--no-healthcheck conflicts with --health-* options"),
        ("--restart on-failure:x i", "maximum retry count must be an integer"),
        ("--ulimit x i", "invalid ulimit argument: x"),
        ("--device relative i", "relative is not an absolute path"),
        ("-p 99999:1 i", "invalid hostPort: 99999"),
    ] {
        let error = request(line).unwrap_err();
        assert!(error.contains(words), "{line}: {error}");
    }
}
