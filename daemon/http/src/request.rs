//! A request as a handler sees it.

use crate::failure::Failure;
use bytes::Bytes;
use contracts_engine_api::{ApiVersion, Filters, decode, query, timestamp};
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The head of a request, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The verb.
    pub(crate) method: Method,
    /// The path, percent-decoded, with its version prefix.
    pub(crate) path: String,
    /// The query, still encoded.
    pub(crate) query: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// HTTP/1.1 or later; 1.0 knows neither chunks nor kept connections.
    pub(crate) modern: bool,
}

impl Head {
    /// A header's value as text; empty where absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A routed request with its body.
pub(crate) struct Request {
    pub(crate) head: Head,
    /// The version that the client speaks.
    pub(crate) version: ApiVersion,
    /// `METHOD pattern` of the route, by which version gates are found.
    pub(crate) route: &'static str,
    /// What stands in the path in place of the pattern's `{}`.
    pub(crate) name: String,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
}

impl Request {
    /// Reads a JSON body with dockerd's checks; an empty body leaves every default.
    pub(crate) fn json<T: DeserializeOwned + Default>(&self) -> Result<T, Failure> {
        self.check_content_type()?;
        if self.body.is_empty() {
            return Ok(T::default());
        }
        Ok(decode::from_value(&self.json_value()?)?)
    }

    /// The parsed body as the newest version would have sent it.
    pub(crate) fn json_value(&self) -> Result<Value, Failure> {
        let mut body = decode::parse(&self.body)?;
        crate::gates::admit(self.route, &self.version, &mut body)?;
        Ok(body)
    }

    /// Refuses a body that does not say it is JSON.
    pub(crate) fn check_content_type(&self) -> Result<(), Failure> {
        let given = self.head.header("content-type");
        if given.is_empty() && self.body.is_empty() {
            return Ok(());
        }
        let media = given.split(';').next().unwrap_or_default().trim();
        if media.is_empty() {
            let text = format!("malformed Content-Type header ({given}): mime: no media type");
            return Err(Failure::invalid(text));
        }
        if media.eq_ignore_ascii_case("application/json") {
            Ok(())
        } else {
            let text =
                format!("unsupported Content-Type header ({media}): must be 'application/json'");
            Err(Failure::invalid(text))
        }
    }
}

/// A request's parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the text behind the question mark; bad escapes drop their pair, as in Go.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |part: &str| percent_decode(&part.replace('+', " "));
            Some((plain(key)?, plain(value)?))
        });
        Self(pairs.collect())
    }

    /// The first value; empty where absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.optional(name).unwrap_or_default()
    }

    /// The first value.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A switch.
    pub(crate) fn switch(&self, name: &str) -> bool {
        query::switch(self.text(name))
    }

    /// A switch that is on when absent.
    pub(crate) fn switch_or_on(&self, name: &str) -> bool {
        self.optional(name).is_none_or(query::switch)
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        query::number(self.text(name)).map_err(Failure::Invalid)
    }

    /// The `filters` parameter.
    pub(crate) fn filters(&self) -> Result<Filters, Failure> {
        Ok(Filters::from_json(self.text("filters"))?)
    }

    /// A point in time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Failure> {
        timestamp::from_query(self.text(name))
            .map_err(|error| Failure::Invalid(format!("invalid value for {name:?}: {error}")))
    }
}

/// Undoes percent encoding; `None` for a bad escape or text that is not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            plain.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            plain.push(byte);
        }
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode_and_keep_the_first_of_several() {
        let query = Query::parse("a=1&a=2&b=x%2Fy+z&flag&bad=%zz&&c=");
        assert_eq!(query.text("a"), "1");
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.text("b"), "x/y z");
        assert_eq!(query.optional("flag"), Some(""));
        assert_eq!(query.optional("bad"), None);
        assert!(!query.switch("c") && query.switch_or_on("nothing"));
    }
}
