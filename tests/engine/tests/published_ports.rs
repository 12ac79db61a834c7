//! Web servers on published ports, and what `stats` and `port` say of them.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tests_engine::Stage;
use tests_harness::wait;

/// The body of a page, from the host.
fn get(port: u16, path: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let limit = Some(Duration::from_secs(5));
    stream.set_read_timeout(limit).map_err(|error| error.to_string())?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).ok_or(answer)
}

#[test]
fn three_web_servers_answer_each_with_its_own_address() {
    let stage = Stage::with(&["web"]);
    let client = &stage.clients()[0];
    let mut addresses = Vec::new();
    for port in [8081_u16, 8082, 8083] {
        let name = format!("web{port}");
        let _ = client.ok(&["run", "-d", "--name", &name, "-p", &format!("{port}:80"), "web"]);
        let body = wait::until("the server to answer", Duration::from_secs(60), || {
            get(port, "/cgi-bin/address")
        });
        let inspected = client.ok(&[
            "inspect",
            "-f",
            "{{(index .NetworkSettings.Networks \"bridge\").IPAddress}}",
            &name,
        ]);
        assert_eq!(body, inspected);
        assert!(!addresses.contains(&body), "{body} twice");
        addresses.push(body);
        let mapping = client.ok(&["port", &name, "80/tcp"]);
        assert!(mapping.lines().any(|line| line == format!("0.0.0.0:{port}")), "{mapping}");
    }
    let stats = client.ok(&[
        "stats",
        "--no-stream",
        "--format",
        "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}",
    ]);
    assert_eq!(stats.lines().count(), 3, "{stats}");
    for line in stats.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        assert!(columns[1].ends_with('%') && columns[2].ends_with("iB"), "{line}");
        // A request came and an answer went; how large they were on the wire is the kernel's.
        assert!(columns[5] != "0B" && columns[7] != "0B", "{line}");
    }
    let (_, error) = client.fails(&["run", "--rm", "-p", "8081:80", "web"]);
    assert!(error.contains("port is already allocated"), "{error}");
    let _ = client.ok(&["rm", "-f", "web8081"]);
    let _ = client.ok(&["run", "-d", "--name", "web8081", "-p", "8081:80", "web"]);
    let _ = wait::until("the port's next owner to answer", Duration::from_secs(60), || {
        get(8081, "/cgi-bin/address")
    });
}

#[test]
fn exposed_ports_get_ports_of_the_hosts_choice() {
    let stage = Stage::with(&["web"]);
    for client in stage.clients() {
        let _ = client.ok(&["run", "-d", "--name", "any", "-P", "web"]);
        let mapping = client.ok(&["port", "any", "80/tcp"]);
        let port = mapping
            .lines()
            .next()
            .and_then(|line| line.rsplit(':').next())
            .unwrap()
            .parse()
            .unwrap();
        let _ = wait::until("the server to answer", Duration::from_secs(60), || {
            get(port, "/cgi-bin/address")
        });
        let _ = client.ok(&["rm", "-f", "any"]);
    }
}

#[test]
fn the_host_network_is_the_hosts() {
    let stage = Stage::with(&["busybox"]);
    for client in stage.clients() {
        let inside = client.ok(&[
            "run",
            "--rm",
            "--network",
            "host",
            "busybox",
            "readlink",
            "/proc/self/ns/net",
        ]);
        let outside = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert_eq!(inside, outside.display().to_string());
    }
}
