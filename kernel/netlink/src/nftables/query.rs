//! What other programs' chains hold: enough to find rules of ours in them again.

use super::{GET_CHAIN, GET_RULE, NFPROTO_IPV4, NftablesSocket, header, message};
use crate::Error;
use crate::wire::{DUMP, Messages, REQUEST, attribute};

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;

impl NftablesSocket {
    /// Whether an IPv4 table has a chain of this name.
    ///
    /// # Errors
    /// The exchange failed.
    pub fn has_chain(&mut self, table: &str, chain: &str) -> Result<bool, Error> {
        let mut out = Messages::default();
        out.push(message(GET_CHAIN), REQUEST, 1, &header(NFPROTO_IPV4), |attributes| {
            attributes.text(CHAIN_TABLE, table);
            attributes.text(CHAIN_NAME, chain);
        });
        let mut found = false;
        let failure = self.0.query(&out, |_| found = true)?;
        match failure {
            Some(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Some(source) => {
                Err(Error::Refused { request: format!("get chain {table} {chain}"), source })
            }
            None => Ok(found),
        }
    }

    /// The handles of a chain's rules that mention `name` (an interface's, say).
    ///
    /// # Errors
    /// The exchange failed.
    pub fn rules_mentioning(
        &mut self,
        table: &str,
        chain: &str,
        name: &str,
    ) -> Result<Vec<u64>, Error> {
        let mut out = Messages::default();
        out.push(message(GET_RULE), REQUEST | DUMP, 1, &header(NFPROTO_IPV4), |attributes| {
            attributes.text(RULE_TABLE, table);
            attributes.text(RULE_CHAIN, chain);
        });
        let mut needle = name.as_bytes().to_vec();
        needle.push(0);
        let mut handles = Vec::new();
        self.0.dump(&out, |message| {
            let body = message.payload.get(4..).unwrap_or_default();
            let mentions = attribute(body, RULE_EXPRESSIONS)
                .is_some_and(|bytes| bytes.windows(needle.len()).any(|part| part == needle));
            let handle = attribute(body, RULE_HANDLE).and_then(|bytes| bytes.try_into().ok());
            if let (true, Some(handle)) = (mentions, handle) {
                handles.push(u64::from_be_bytes(handle));
            }
        })?;
        Ok(handles)
    }
}
