//! A machine of its own for each test: network and mount namespaces, directories, and ways to
//! look at what the kernel holds.

use base_ids::ContainerId;
use daemon_network::{
    EndpointRequest, Networks, NetworksConfig, PortRequest, Protocol, Sandbox, SandboxRequest,
};
use kernel_netlink::route::{Changes, LinkChange, RouteSocket};
use kernel_sys::{NamespaceFlags, setns, unshare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::{File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DATA_VARIABLE: &str = "NETWORK_TEST_ROOT";
const PROXY: &str = "proxy";
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for anything that works: a lost first packet is sent again after one second and
/// after three.
const CONNECT: Duration = Duration::from_secs(5);

pub(crate) struct World {
    directory: tempfile::TempDir,
}

/// Runs a program, which must succeed.
pub(crate) fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn enter(netns: &Path) {
    let file = File::open(netns).unwrap();
    setns(file.as_fd(), NamespaceFlags::NETWORK).unwrap();
}

impl World {
    /// Runs a test on a machine of its own.
    pub(crate) fn run(test: impl FnOnce(&Self) + Send) {
        on_a_thread(|| {
            unshare(NamespaceFlags::NETWORK | NamespaceFlags::MOUNT).unwrap();
            output_of("mount", &["--make-rprivate", "/"]);
            let mut changes = Changes::new();
            changes.set_link(1, &LinkChange { up: true, ..LinkChange::default() });
            RouteSocket::open().unwrap().apply(&changes).unwrap();
            let world = Self { directory: tempfile::tempdir().unwrap() };
            world.install_proxy();
            test(&world);
        });
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self, pool: usize) -> NetworksConfig {
        config_in(self.directory.path(), pool)
    }

    /// This test program, run again, is the proxy.
    fn install_proxy(&self) {
        let own = std::env::current_exe().unwrap();
        let words = "--exact proxy_of_the_tests --ignored --nocapture";
        let path = self.path(PROXY);
        std::fs::write(&path, format!("#!/bin/sh\nexec {} {words} \"$1\"\n", own.display()))
            .unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// Kills all proxies, and waits until their sockets are closed.
    pub(crate) fn kill_proxies(&self) {
        for entry in std::fs::read_dir(self.path("exec/proxies")).unwrap() {
            let name = entry.unwrap().path().into_os_string().into_string().unwrap();
            let pid = pid_with_word(&name).expect("a proxy for each control socket");
            let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
            pidfd_send_signal(&process, Signal::KILL).unwrap();
            // It has closed its sockets then; its words are gone before.
            let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
            let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience));
            assert_eq!(ended, Ok(1), "{name} is still there");
        }
    }

    pub(crate) fn request(&self, networks: &Networks, ports: &[PortRequest]) -> SandboxRequest {
        SandboxRequest { ports: ports.to_vec(), ..self.request_in(networks, "bridge") }
    }

    pub(crate) fn request_in(&self, networks: &Networks, network: &str) -> SandboxRequest {
        let network = networks.find(network).unwrap().id;
        SandboxRequest {
            id: ContainerId::random(),
            name: "quiet_turing".to_owned(),
            endpoints: vec![EndpointRequest { network, ipv4: None, mac: None }],
            ports: Vec::new(),
        }
    }

    pub(crate) fn port(&self, host_port: Option<u16>, host_ip: Option<IpAddr>) -> PortRequest {
        PortRequest {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip,
            host_port: host_port.map(|port| port..=port),
        }
    }

    /// Another machine, 192.0.2.7, on a cable to this one, 192.0.2.1; it tries to reach the
    /// containers and our loopback through us.
    pub(crate) fn outside(&self) -> PathBuf {
        let path = self.path("outside");
        File::create(&path).unwrap();
        on_a_thread(|| {
            unshare(NamespaceFlags::NETWORK).unwrap();
            output_of("mount", &["--bind", "/proc/thread-self/ns/net", path.to_str().unwrap()]);
        });
        let netns = path.to_str().unwrap();
        output_of("ip", &["link", "add", "cable", "type", "veth", "peer", "name", "far"]);
        output_of("nsenter", &["--net=/proc/self/ns/net", "true"]);
        output_of("ip", &["link", "set", "far", "netns", netns]);
        output_of("ip", &["address", "add", "192.0.2.1/24", "dev", "cable"]);
        output_of("ip", &["link", "set", "cable", "up"]);
        self.inside(&path, || {
            output_of("ip", &["address", "add", "192.0.2.7/24", "dev", "far"]);
            output_of("ip", &["link", "set", "far", "up"]);
            output_of("ip", &["route", "add", "default", "via", "192.0.2.1"]);
            output_of("ip", &["route", "add", "127.0.0.0/8", "via", "192.0.2.1"]);
            std::fs::write("/proc/sys/net/ipv4/conf/far/route_localnet", "1").unwrap();
        });
        path
    }

    /// Does something in a network namespace.
    pub(crate) fn inside<T: Send>(&self, netns: &Path, work: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            enter(netns);
            work()
        })
    }

    /// Serves a text in a namespace until dropped.
    pub(crate) fn serve(&self, netns: &Path, port: u16, body: &'static str) -> Server {
        let listener = self.inside(netns, || TcpListener::bind(("0.0.0.0", port)).unwrap());
        Server::start(listener, body)
    }

    pub(crate) fn serve_on_host(&self, ip: Ipv4Addr, port: u16, body: &'static str) -> Server {
        Server::start(TcpListener::bind((ip, port)).unwrap(), body)
    }

    /// What a server says, and the caller's address as the server sees it.
    pub(crate) fn fetch(
        &self,
        from: Option<&Path>,
        address: impl Into<IpAddr>,
        port: u16,
    ) -> io::Result<(String, Ipv4Addr)> {
        let target = SocketAddr::new(address.into(), port);
        on_a_thread(|| {
            if let Some(netns) = from {
                enter(netns);
            }
            let mut stream = TcpStream::connect_timeout(&target, CONNECT)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            let (seen, body) = text.split_once(' ').unwrap();
            Ok((body.to_owned(), seen.parse().unwrap()))
        })
    }

    /// Which namespaces are there, made ahead or in use.
    pub(crate) fn namespaces(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("exec/netns")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn wait_until_no_link(&self, name: &str) {
        let start = Instant::now();
        while output_of("ip", &["-brief", "link"]).contains(name) {
            assert!(start.elapsed() < PATIENCE, "{name} is still there");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The leak check: interfaces, namespaces, rules and records.
    pub(crate) fn assert_nothing_left(&self) {
        let leftovers = || {
            let links = output_of("ip", &["-brief", "link"]);
            let links = links.lines().filter(|line| line.starts_with("g")).map(str::to_owned);
            let tables = output_of("nft", &["list", "tables"]);
            let tables = tables.lines().filter(|line| line.contains("gantry")).map(str::to_owned);
            let mut all: Vec<String> = links.chain(tables).collect();
            let folders = ["exec", "exec-2"].map(|root| self.path(root));
            let kinds = ["netns", "sandboxes", "proxies"];
            for path in folders.iter().flat_map(|root| kinds.map(|kind| root.join(kind))) {
                let Ok(entries) = std::fs::read_dir(path) else { continue };
                let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
                all.extend(names.filter(|name| name != "default"));
            }
            all
        };
        let start = Instant::now();
        while !leftovers().is_empty() {
            assert!(start.elapsed() < PATIENCE, "left behind: {:?}", leftovers());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs this test program again as a daemon with two sandboxes.
    pub(crate) fn spawn_daemon(&self) -> Daemon {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "daemon_that_gets_killed", "--ignored", "--nocapture"])
            .env(DATA_VARIABLE, self.directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Daemon { child }
    }
}

/// The process that has this word on its command line.
fn pid_with_word(word: &str) -> Option<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find_map(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let has = words.split(|byte| *byte == 0).any(|one| one == word.as_bytes());
        has.then(|| Pid::from_raw(pid)).flatten()
    })
}

fn config_in(directory: &Path, pool: usize) -> NetworksConfig {
    NetworksConfig {
        sandbox_pool_size: pool,
        userland_proxy: Some(directory.join(PROXY)),
        ..NetworksConfig::new(directory.join("data"), directory.join("exec"))
    }
}

/// The part of the killed daemon: two sandboxes, told on stdout, then waiting for the end.
pub(crate) fn be_the_daemon() {
    let Some(directory) = std::env::var_os(DATA_VARIABLE) else { return };
    let directory = PathBuf::from(directory);
    let networks = Networks::open(config_in(&directory, 3)).unwrap();
    let network = networks.find("bridge").unwrap().id;
    for port in [8081, 8082] {
        let request = SandboxRequest {
            id: ContainerId::random(),
            name: "doomed".to_owned(),
            endpoints: vec![EndpointRequest { network: network.clone(), ipv4: None, mac: None }],
            ports: vec![PortRequest {
                container_port: 80,
                protocol: Protocol::Tcp,
                host_ip: None,
                host_port: Some(port..=port),
            }],
        };
        let sandbox = networks.create_sandbox(&request).unwrap();
        println!("\nsandbox {}", serde_json::to_string(&sandbox).unwrap());
    }
    loop {
        std::thread::park();
    }
}

pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    pub(crate) fn two_sandboxes(&mut self) -> (Sandbox, Sandbox) {
        let mut lines = BufReader::new(self.child.stdout.as_mut().unwrap()).lines();
        let mut next = || loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(json) = line.strip_prefix("sandbox ") {
                return serde_json::from_str(json).unwrap();
            }
        };
        (next(), next())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers every connection with the caller's address and a text.
pub(crate) struct Server {
    listener: TcpListener,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(listener: TcpListener, body: &'static str) -> Self {
        let serving = listener.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            while let Ok((mut stream, caller)) = serving.accept() {
                let _ = write!(stream, "{} {body}", caller.ip());
            }
        });
        Self { listener, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the accept with an error.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
