//! `--health-…`.

use crate::arguments::Arguments;
use crate::quantity;
use contracts_engine_api::container::HealthConfig;

pub(super) fn parse(arguments: &Arguments) -> Result<Option<HealthConfig>, String> {
    const TIMES: [&str; 4] =
        ["health-interval", "health-timeout", "health-start-period", "health-start-interval"];
    let some = TIMES.into_iter().any(|name| arguments.given(name))
        || arguments.given("health-cmd")
        || arguments.given("health-retries");
    if arguments.on("no-healthcheck") {
        if some {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        let test = Some(vec!["NONE".to_owned()]);
        return Ok(Some(HealthConfig { test, ..HealthConfig::default() }));
    }
    if !some {
        return Ok(None);
    }
    let time = |name: &'static str| -> Result<i64, String> {
        let nanoseconds = quantity::parse_duration(arguments.text(name))?;
        if nanoseconds < 0 { Err(format!("--{name} cannot be negative")) } else { Ok(nanoseconds) }
    };
    let retries = arguments.int("health-retries");
    if retries < 0 {
        return Err("--health-retries cannot be negative".to_owned());
    }
    let command = arguments.text("health-cmd");
    let test = (!command.is_empty()).then(|| vec!["CMD-SHELL".to_owned(), command.to_owned()]);
    Ok(Some(HealthConfig {
        test,
        interval: time(TIMES[0])?,
        timeout: time(TIMES[1])?,
        start_period: time(TIMES[2])?,
        start_interval: time(TIMES[3])?,
        retries,
    }))
}
