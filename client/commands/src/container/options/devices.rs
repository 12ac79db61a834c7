//! Devices, their limits, and resource limits.

use crate::arguments::Arguments;
use crate::quantity;
use contracts_engine_api::container::{
    DeviceMapping, DeviceRequest, ThrottleDevice, Ulimit, WeightDevice,
};

/// A device of the Container Device Interface: `vendor/class=name`.
fn is_cdi(text: &str) -> bool {
    !text.starts_with('/') && text.split_once('=').is_some_and(|(kind, _)| kind.contains('/'))
}

/// `--device HOST[:CONTAINER[:PERMISSIONS]]`.
pub(super) fn mappings<'a>(
    flags: impl Iterator<Item = &'a str>,
) -> Result<Vec<DeviceMapping>, String> {
    flags.filter(|text| !is_cdi(text)).map(mapping).collect()
}

fn mapping(text: &str) -> Result<DeviceMapping, String> {
    let permissions = |word: &str| {
        !word.is_empty() && word.len() <= 3 && word.bytes().all(|b| b"rwm".contains(&b))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, access) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, access] if permissions(access) => (host, host, access),
        [host, container] => (host, container, "rwm"),
        [host, container, access] if permissions(access) => (host, container, access),
        _ => return Err(format!("invalid device specification: {text}")),
    };
    if !host.starts_with('/') || !container.starts_with('/') {
        return Err(format!("{text} is not an absolute path"));
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: container.to_owned(),
        cgroup_permissions: access.to_owned(),
    })
}

/// `--gpus`, and devices of the Container Device Interface.
pub(super) fn requests(arguments: &Arguments) -> Result<Option<Vec<DeviceRequest>>, String> {
    let mut requests: Vec<DeviceRequest> =
        arguments.list("gpus").map(gpus).collect::<Result<_, _>>()?;
    let named: Vec<String> =
        arguments.list("device").filter(|text| is_cdi(text)).map(str::to_owned).collect();
    if !named.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: Some(named),
            ..DeviceRequest::default()
        });
    }
    Ok((!requests.is_empty()).then_some(requests))
}

fn gpus(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest::default();
    let mut capabilities = vec!["gpu".to_owned()];
    let mut counted = false;
    let count = |text: &str| match text {
        "all" => Ok(-1),
        text => text.parse().map_err(|_| {
            format!("invalid count ({text}): value must be either \"all\" or an integer")
        }),
    };
    // A quoted field holds commas: "device=0,1".
    let mut quoted = false;
    for field in text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    }) {
        let field = field.trim_matches('"');
        match field.split_once('=') {
            None => {
                request.count = count(field)?;
                counted = true;
            }
            Some(("count", value)) => {
                request.count = count(value)?;
                counted = true;
            }
            Some(("driver", value)) => value.clone_into(&mut request.driver),
            Some(("device", value)) => {
                request.device_ids = Some(value.split(',').map(str::to_owned).collect());
            }
            Some(("capabilities", value)) => {
                capabilities.extend(value.split(',').map(str::to_owned));
            }
            Some((key, _)) => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !counted && request.device_ids.is_none() {
        request.count = 1;
    }
    request.capabilities = Some(vec![capabilities]);
    Ok(request)
}

fn split_device(text: &str) -> Result<(&str, &str), String> {
    let bad = || format!("bad format: {text}");
    let (path, value) = text.rsplit_once(':').ok_or_else(bad)?;
    if path.starts_with("/dev/") {
        Ok((path, value))
    } else {
        Err(format!("bad format for device path: {text}"))
    }
}

/// `--blkio-weight-device PATH:WEIGHT`.
pub(super) fn weights<'a>(
    flags: impl Iterator<Item = &'a str>,
) -> Result<Vec<WeightDevice>, String> {
    let read = |text: &'a str| {
        let (path, weight) = split_device(text)?;
        let weight = weight.parse().ok().filter(|w| *w == 0 || (10..=1000).contains(w));
        let weight = weight.ok_or_else(|| format!("invalid weight for device: {text}"))?;
        Ok(WeightDevice { path: path.to_owned(), weight })
    };
    flags.map(read).collect()
}

/// `--device-read-bps PATH:RATE`.
pub(super) fn byte_rates<'a>(
    flags: impl Iterator<Item = &'a str>,
) -> Result<Vec<ThrottleDevice>, String> {
    throttles(flags, |rate| {
        quantity::parse_bytes(rate).ok().and_then(|rate| u64::try_from(rate).ok())
    })
}

/// `--device-read-iops PATH:RATE`.
pub(super) fn rates<'a>(
    flags: impl Iterator<Item = &'a str>,
) -> Result<Vec<ThrottleDevice>, String> {
    throttles(flags, |rate| rate.parse().ok())
}

fn throttles<'a>(
    flags: impl Iterator<Item = &'a str>,
    read: fn(&str) -> Option<u64>,
) -> Result<Vec<ThrottleDevice>, String> {
    flags
        .map(|text| {
            let (path, rate) = split_device(text)?;
            let rate = read(rate).ok_or_else(|| format!("invalid rate for device: {text}"))?;
            Ok(ThrottleDevice { path: path.to_owned(), rate })
        })
        .collect()
}

/// The limits of setrlimit(2), by Docker's names.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Checks `--ulimit` as it is read.
pub(super) fn check_ulimit(text: &str) -> Result<(), String> {
    ulimit(text).map(drop)
}

/// `--ulimit NAME=SOFT[:HARD]`.
pub(super) fn ulimits<'a>(flags: impl Iterator<Item = &'a str>) -> Result<Vec<Ulimit>, String> {
    flags.map(ulimit).collect()
}

fn ulimit(text: &str) -> Result<Ulimit, String> {
    let bad = || format!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(bad)?;
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |n: &str| if n == "unlimited" { Ok(-1) } else { n.parse().map_err(|_| bad()) };
    let (soft, hard): (i64, i64) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}
