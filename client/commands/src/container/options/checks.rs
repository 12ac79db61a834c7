//! Checks of flag values as they are read, in Docker's words.

use std::net::IpAddr;

pub(super) fn attach(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

/// `host:ip` or `host=ip`; the address may be `host-gateway`, which the daemon knows.
pub(super) fn extra_host(text: &str) -> Result<(), String> {
    split_extra_host(text).map(drop)
}

/// Name and address.
pub(super) fn split_extra_host(text: &str) -> Result<(&str, &str), String> {
    let parts = match text.split_once('=') {
        Some(parts) => Some(parts),
        None => text.split_once(':'),
    };
    let (host, ip) = parts
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| format!("bad format for add-host: \"{text}\""))?;
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if bare != "host-gateway" && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: \"{ip}\""));
    }
    Ok((host, bare))
}

pub(super) fn address(text: &str) -> Result<(), String> {
    text.trim()
        .parse::<IpAddr>()
        .map(drop)
        .map_err(|_| format!("IP address is not correctly formatted: {text}"))
}

pub(super) fn variable(text: &str) -> Result<(), String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(())
}

pub(super) fn label(text: &str) -> Result<(), String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid label '{text}': empty name"));
    }
    Ok(())
}

/// The kernel settings that are a container's own (docker/cli `opts.ValidateSysctl`).
pub(super) fn sysctl(text: &str) -> Result<(), String> {
    const NAMES: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let good = |name: &str| {
        NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.")
    };
    match text.split_once('=') {
        Some((name, _)) if good(name) => Ok(()),
        _ => Err(format!("sysctl '{text}' is not allowed")),
    }
}

pub(super) fn mac_address(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let good = parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok());
    if good { Ok(()) } else { Err(format!("{text} is not a valid mac address")) }
}

/// `c 1:3 rwm`, `a *:* r`.
pub(super) fn device_cgroup_rule(text: &str) -> Result<(), String> {
    let mut words = text.split(' ');
    let good = |words: &mut std::str::Split<'_, char>| -> Option<bool> {
        let kind = words.next()?;
        let (major, minor) = words.next()?.split_once(':')?;
        let access = words.next()?;
        let number = |n: &str| n == "*" || (!n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        Some(
            matches!(kind, "a" | "b" | "c")
                && number(major)
                && number(minor)
                && (1..=3).contains(&access.len())
                && access.bytes().all(|b| b"rwm".contains(&b))
                && words.next().is_none(),
        )
    };
    match good(&mut words) {
        Some(true) => Ok(()),
        _ => Err(format!("invalid device cgroup format '{text}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_values_pass_and_bad_ones_do_not() {
        assert!(attach("STDOUT").is_ok() && attach("x").is_err());
        assert_eq!(split_extra_host("h=[::1]"), Ok(("h", "::1")));
        assert_eq!(split_extra_host("h:host-gateway"), Ok(("h", "host-gateway")));
        assert!(extra_host("h").is_err() && extra_host("h:1").is_err());
        assert!(device_cgroup_rule("c 1:* rwm").is_ok());
        assert!(device_cgroup_rule("c 1 rwm").is_err() && device_cgroup_rule("").is_err());
        assert!(mac_address("92:d0:c6:0a:29:33").is_ok() && mac_address("x").is_err());
        assert!(sysctl("net.core.somaxconn=1").is_ok() && sysctl("kernel.sem=1").is_ok());
        assert!(sysctl("kernel.x=1").is_err() && sysctl("net.x").is_err());
        assert!(variable("=x").is_err() && label("").is_err());
    }
}
