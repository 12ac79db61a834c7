//! PAX extended headers: `LENGTH KEY=VALUE\n` records (POSIX.1-2001, pax, "pax Extended Header").

use super::archive::Mtime;
use super::error::ExtractError;
use super::limits::Limits;

/// What the records say about the entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Mtime>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

/// GNU's sparse records of the formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) real_size: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// Offset, length, offset, length … of the formats 0.0 and 0.1.
    pub(super) map: Vec<u64>,
    pub(super) has_map: bool,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

/// Parses the records of one extension header.
pub(super) fn parse(mut rest: &[u8], limits: &Limits) -> Result<Pax, ExtractError> {
    let mut pax = Pax::default();
    while !rest.is_empty() {
        let (key, value, after) = record(rest).ok_or(malformed("damaged PAX record"))?;
        apply(&mut pax, key, value, limits)?;
        rest = after;
    }
    Ok(pax)
}

/// Splits the first record off.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    if length > data.len() || length < space + 2 || data[length - 1] != b'\n' {
        return None;
    }
    let text = &data[space + 1..length - 1];
    let equals = text.iter().position(|byte| *byte == b'=')?;
    if equals == 0 {
        return None;
    }
    Some((&text[..equals], &text[equals + 1..], &data[length..]))
}

fn apply(pax: &mut Pax, key: &[u8], value: &[u8], limits: &Limits) -> Result<(), ExtractError> {
    match key {
        b"path" => pax.path = name(value, limits)?,
        b"linkpath" => pax.link = name(value, limits)?,
        b"size" => pax.size = number(value)?,
        b"uid" => pax.uid = number(value)?,
        b"gid" => pax.gid = number(value)?,
        b"mtime" => pax.mtime = time(value)?,
        b"GNU.sparse.major" => pax.sparse.major = number(value)?,
        b"GNU.sparse.minor" => pax.sparse.minor = number(value)?,
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => pax.sparse.real_size = number(value)?,
        b"GNU.sparse.name" => pax.sparse.name = name(value, limits)?,
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
            sparse_number(pax, key == b"GNU.sparse.offset", value, limits)?;
        }
        b"GNU.sparse.map" => sparse_map(pax, value, limits)?,
        _ => {
            if let Some(attribute) = key.strip_prefix(XATTR) {
                xattr(pax, attribute, value, limits)?;
            }
        }
    }
    Ok(())
}

/// An empty value takes an earlier record back, here and below.
fn name(value: &[u8], limits: &Limits) -> Result<Option<Vec<u8>>, ExtractError> {
    if value.contains(&0) {
        return Err(malformed("NUL in a PAX name"));
    }
    if value.len() as u64 > limits.name_bytes {
        return Err(ExtractError::TooMuch { what: "bytes in a name", limit: limits.name_bytes });
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn number(value: &[u8]) -> Result<Option<u64>, ExtractError> {
    if value.is_empty() {
        return Ok(None);
    }
    decimal(value).map(Some).ok_or(malformed("a PAX number is not one"))
}

fn xattr(
    pax: &mut Pax,
    attribute: &[u8],
    value: &[u8],
    limits: &Limits,
) -> Result<(), ExtractError> {
    if attribute.is_empty() || attribute.len() > 255 || attribute.contains(&0) {
        return Err(malformed("an extended attribute has no usable name"));
    }
    if value.len() as u64 > limits.xattr_bytes {
        return Err(ExtractError::TooMuch {
            what: "bytes in an extended attribute",
            limit: limits.xattr_bytes,
        });
    }
    pax.xattrs.retain(|(name, _)| name != attribute);
    if pax.xattrs.len() >= limits.xattrs {
        let limit = limits.xattrs as u64;
        return Err(ExtractError::TooMuch { what: "extended attributes of a file", limit });
    }
    pax.xattrs.push((attribute.to_vec(), value.to_vec()));
    Ok(())
}

fn sparse_number(
    pax: &mut Pax,
    is_offset: bool,
    value: &[u8],
    limits: &Limits,
) -> Result<(), ExtractError> {
    let map = &mut pax.sparse.map;
    if map.len().is_multiple_of(2) != is_offset {
        return Err(malformed("sparse offsets and lengths do not alternate"));
    }
    if map.len() as u64 >= 2 * limits.sparse_segments {
        return Err(too_sparse(limits));
    }
    map.push(decimal(value).ok_or(malformed("a sparse number is not one"))?);
    pax.sparse.has_map = true;
    Ok(())
}

fn sparse_map(pax: &mut Pax, value: &[u8], limits: &Limits) -> Result<(), ExtractError> {
    let mut map = Vec::new();
    for text in value.split(|byte| *byte == b',').filter(|text| !text.is_empty()) {
        if map.len() as u64 >= 2 * limits.sparse_segments {
            return Err(too_sparse(limits));
        }
        map.push(decimal(text).ok_or(malformed("a sparse number is not one"))?);
    }
    pax.sparse.map = map;
    pax.sparse.has_map = true;
    Ok(())
}

pub(super) fn too_sparse(limits: &Limits) -> ExtractError {
    ExtractError::TooMuch { what: "pieces in a sparse file", limit: limits.sparse_segments }
}

/// Seconds since the epoch, perhaps negative, perhaps with a fraction.
fn time(value: &[u8]) -> Result<Option<Mtime>, ExtractError> {
    if value.is_empty() {
        return Ok(None);
    }
    let wrong = || malformed("a PAX time is not one");
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    let seconds = if whole.is_empty() { 0 } else { decimal(whole).ok_or_else(wrong)? };
    let seconds = i64::try_from(seconds).map_err(|_| wrong())?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    let mut nanoseconds = 0;
    for place in 0..9 {
        nanoseconds = nanoseconds * 10 + i64::from(fraction.get(place).map_or(0, |d| d - b'0'));
    }
    Ok(Some(match (negative, nanoseconds) {
        (false, _) => Mtime { seconds, nanoseconds },
        (true, 0) => Mtime { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Mtime { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    }))
}

/// Plain decimal digits, nothing else: no sign, no blank, no overflow.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

const fn malformed(why: &'static str) -> ExtractError {
    ExtractError::Malformed { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(data: &[u8]) -> Result<Pax, ExtractError> {
        parse(data, &Limits::default())
    }

    /// A well-formed record: its length counts its own digits.
    fn made(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let length = body + (body + 1).to_string().len();
        let mut record = format!("{length} {key}=").into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        record
    }

    #[test]
    fn records_are_cut_by_their_length_not_by_lines() {
        let records =
            [made("SCHILY.xattr.a", b"\n="), made("path", b"x\ny\xff"), made("uid", b"12")];
        let pax = parsed(&records.concat()).unwrap();
        assert_eq!(pax.xattrs, [(b"a".to_vec(), b"\n=".to_vec())]);
        assert_eq!(pax.path.unwrap(), b"x\ny\xff");
        assert_eq!(pax.uid, Some(12));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bad in [
            &b"99 path=x\n"[..],
            b"3 =\n",
            b"0 path=x\n",
            b"11 path=x\n",
            b"-1 path=x\n",
            b"99999999999999999999999 path=x\n",
            b"path=x\n",
            b"8 pathx\n",
            b"4 a=",
        ] {
            assert!(parsed(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_size_that_overflows_or_has_a_sign_is_refused() {
        for bad in ["99999999999999999999", "+1", "-1", " 1", "0x1"] {
            assert!(parsed(&made("size", bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_before_the_epoch_round_towards_the_past() {
        let mtime = |text: &[u8]| parsed(&made("mtime", text)).unwrap().mtime.unwrap();
        assert_eq!(mtime(b"-1.5"), Mtime { seconds: -2, nanoseconds: 500_000_000 });
        assert_eq!(mtime(b"7.1234567899"), Mtime { seconds: 7, nanoseconds: 123_456_789 });
    }
}
