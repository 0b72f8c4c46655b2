//! Reads the API server's audit log: who did what, by the server's own account.
//!
//! The format is `audit.k8s.io/v1`
//! (<https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>).

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp};
use serde::Deserialize;

use crate::Error;

/// The verbs that change something, if they are not refused.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// One call to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// The user, such as `system:serviceaccount:shop:default`.
    pub user: String,
    /// The Kubernetes verb, such as `create` or `deletecollection`.
    pub verb: String,
    /// The path and query of the request.
    pub uri: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The resource, in plural; empty for paths such as `/readyz`.
    pub resource: String,
    /// The subresource, such as `status`; empty for the object itself.
    pub subresource: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The object's name; empty for lists and watches, and for a `create` that
    /// was refused before its body was read.
    pub name: String,
    /// The HTTP status of the answer, `None` while a watch is open.
    pub code: Option<u16>,
    /// When the request arrived.
    pub time: Timestamp,
}

impl AuditEvent {
    /// Whether the call would change something, had it not been refused.
    #[must_use]
    pub fn is_write(&self) -> bool {
        WRITES.contains(&self.verb.as_str())
    }
}

/// The calls of one user, in the order of their first line in the log.
pub(crate) fn calls_by(path: &Path, user: &str) -> Result<Vec<AuditEvent>, Error> {
    calls_of(path, user, |it| it == user)
}

/// The calls of the users that are wanted, whose names all contain that text.
pub(crate) fn calls_of(
    path: &Path,
    part: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<AuditEvent>, Error> {
    let mut log = BufReader::new(File::open(path).map_err(Error::file("open", path))?);
    let (mut calls, mut seen) = (Vec::new(), HashMap::new());
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        log.read_line(&mut text).map_err(Error::file("read", path))?;
        // The server may be writing the last line right now.
        if !text.ends_with('\n') {
            break;
        }
        // Most lines are somebody else's; reading them as JSON would take long.
        if !text.contains(part) {
            continue;
        }
        let event: Line = serde_json::from_str(&text).map_err(|source| Error::Audit {
            path: path.into(),
            line,
            source,
        })?;
        if wanted(&event.user.username) {
            // A watch is noted when it opens and again when it closes.
            let place = *seen.entry(event.audit_id.clone()).or_insert(calls.len());
            match calls.get_mut(place) {
                Some(call) => *call = event.into(),
                None => calls.push(event.into()),
            }
        }
    }
    Ok(calls)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: MicroTime,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        let answered = line.stage != "ResponseStarted";
        Self {
            user: line.user.username,
            verb: line.verb,
            uri: line.request_uri,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            code: line.response_status.and_then(|status| status.code).filter(|_| answered),
            time: line.request_received_timestamp.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(user: &str, name: &str) -> String {
        format!(
            r#"{{"auditID":"{user}-{name}","stage":"ResponseComplete","verb":"delete","requestURI":"/","user":{{"username":"{user}"}},"objectRef":{{"resource":"pods","name":"{name}"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"2026-11-22T08:31:17.671174Z"}}"#
        )
    }

    #[test]
    fn a_half_written_line_and_a_longer_name_are_not_ours() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        let half = &line("system:serviceaccount:a:b", "three")[..150];
        writeln!(log, "{}", line("system:serviceaccount:a:b", "one")).unwrap();
        writeln!(log, "{}", line("system:serviceaccount:a:bc", "two")).unwrap();
        write!(log, "{half}").unwrap();
        let calls = calls_by(log.path(), "system:serviceaccount:a:b").unwrap();
        let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["one"]);
        assert!(calls[0].is_write());
        assert_eq!((calls[0].code, calls[0].namespace.as_str()), (Some(200), ""));
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        writeln!(log, "{}\nsomebody did something", line("somebody", "one")).unwrap();
        let error = calls_by(log.path(), "somebody").unwrap_err().to_string();
        assert!(error.starts_with("line 2 of the audit log "), "{error}");
    }
}
