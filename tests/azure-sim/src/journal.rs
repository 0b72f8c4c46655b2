//! Every request in the order of arrival; never a token, a secret or a body.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Call;

/// One request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1 in the order of arrival, also across clearing.
    pub sequence: u64,
    /// When it arrived.
    pub time: Timestamp,
    /// The host it was for.
    pub host: String,
    /// HTTP method; `CONNECT` only where a host was refused, by the proxy or in a TLS handshake.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without `?`; empty if there is none.
    pub query: String,
    /// The header `User-Agent` as sent; absent where a TLS handshake was refused.
    pub user_agent: Option<String>,
    /// What it was understood as.
    pub call: Option<Call>,
    /// Object id of the caller, if its credential names one.
    pub principal: Option<String>,
    /// HTTP status of the answer; absent while there is none, and where none was given.
    pub status: Option<u16>,
    /// The error code of the answer, unless a backend gave it.
    pub code: Option<String>,
    /// Whether the simulator knows such a request at all.
    pub known: bool,
    /// The fault that struck it.
    pub fault: Option<String>,
}

impl Entry {
    /// A request that arrives now, of which no more is known yet.
    pub(crate) fn new(host: &str, method: &str) -> Self {
        Self {
            sequence: 0,
            time: Timestamp::now(),
            host: host.into(),
            method: method.into(),
            path: String::new(),
            query: String::new(),
            user_agent: None,
            call: None,
            principal: None,
            status: None,
            code: None,
            known: false,
            fault: None,
        }
    }
}

/// The journal.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    last: u64,
}

impl Journal {
    /// Adds an entry and returns its sequence number.
    pub(crate) fn begin(&mut self, entry: Entry) -> u64 {
        self.last += 1;
        self.entries.push(Entry { sequence: self.last, ..entry });
        self.last
    }

    /// Changes an entry, unless it has been cleared away.
    pub(crate) fn note(&mut self, sequence: u64, change: impl FnOnce(&mut Entry)) {
        let found = self.entries.binary_search_by_key(&sequence, |it| it.sequence);
        if let Some(entry) = found.ok().and_then(|at| self.entries.get_mut(at)) {
            change(entry);
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
