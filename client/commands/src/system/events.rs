//! `events`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::bad_template;
use crate::session::Session;
use crate::template::Template;
use crate::{filters, instant, output, show};
use contracts_engine_api::decode;
use contracts_engine_api::events::Message;
use jiff::Timestamp;
use std::io::{BufRead, BufReader, Read};

static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Only those that match").short('f'),
    Flag::new("format", Kind::Text, show::FORMAT_HELP),
    Flag::new("since", Kind::Text, "Show all events created since a time"),
    Flag::new("until", Kind::Text, "Stream events until a time"),
];

/// `events`.
pub(crate) static COMMAND: Command =
    Command::new("events", "[OPTIONS]", "Get real time events from the server", run)
        .flags(&[FLAGS])
        .operands(Operands::None)
        .known_as(&["system events", "events"]);

/// The longest event that is accepted.
const MAX_LINE: u64 = 1024 * 1024;

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let format = match arguments.text("format") {
        "" => None,
        "json" => Some(Template::parse("{{json .}}").map_err(bad_template)?),
        format => Some(Template::parse(format).map_err(bad_template)?),
    };
    let now = Timestamp::now();
    let time = |name: &'static str| -> Result<Option<String>, Failure> {
        let given = arguments.text_if_given(name).filter(|text| !text.is_empty());
        given.map(|text| instant::parameter(text, now)).transpose().map_err(Failure::text)
    };
    let response = session
        .client
        .get("/events")
        .query_if("since", time("since")?)
        .query_if("until", time("until")?)
        .query_if("filters", filters::parameter(arguments))
        .send()?;
    let mut from = BufReader::new(response.into_body());
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let event: Message = decode::from_slice(&line)
            .map_err(|error| Failure::text(format!("unreadable event: {error}")))?;
        match &format {
            None => output::line(shown(&event))?,
            Some(template) => {
                // Newer daemons write old fields in another order; Docker's client does not.
                let value =
                    serde_json::to_value(&event).expect("the contract's types are serialisable");
                output::line(template.render(&value).map_err(bad_template)?)?;
            }
        }
    }
}

/// `2026-01-02T03:04:05.000000000Z container start 0123 (image=busybox, name=x)`.
fn shown(event: &Message) -> String {
    let nanoseconds =
        if event.time_nano == 0 { event.time * 1_000_000_000 } else { event.time_nano };
    let time = instant::event_text(nanoseconds);
    let attributes: Vec<String> =
        event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let attributes = match attributes.is_empty() {
        true => String::new(),
        false => format!(" ({})", attributes.join(", ")),
    };
    format!("{time} {} {} {}{attributes}", event.kind, event.action, event.actor.id)
}
