//! HTTP requests with a deadline and a size limit. Error messages do not repeat what was sent.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response};
use rustls::CertificateError;
use thiserror::Error;

use crate::findings::network::ConnectionFault;

/// How large an answer may be. A token has a few KiB.
const MAX_BYTES: usize = 256 << 10;

/// An answer with any status.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; `None` if there is none, or it is not text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The value of a key of the body, which is a JSON object; `None` if there is no such text.
    pub fn text(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body[name].as_str().map(str::to_owned)
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("there is no connection")]
    Connection(ConnectionFault),
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the answer is larger than {} KiB", MAX_BYTES >> 10)]
    TooLarge,
    #[error("the answer breaks off")]
    BreaksOff,
    #[error("{0}")]
    Other(String),
}

impl Fault {
    /// Why there is no connection; `None` for another fault.
    pub fn connection(&self) -> Option<&ConnectionFault> {
        match self {
            Self::Connection(fault) => Some(fault),
            _ => None,
        }
    }
}

/// Sends a request and reads the whole answer.
pub(super) async fn send(request: RequestBuilder, deadline: Duration) -> Result<Answer, Fault> {
    let answer = async { receive(request.send().await.map_err(|it| fault(&it))?).await };
    let answer = tokio::time::timeout(deadline, answer).await;
    answer.unwrap_or(Err(Fault::TimedOut(deadline)))
}

async fn receive(mut response: Response) -> Result<Answer, Fault> {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|it| fault(&it))? {
        body.extend_from_slice(&part);
        if body.len() > MAX_BYTES {
            return Err(Fault::TooLarge);
        }
    }
    Ok(Answer { status, headers, body })
}

fn fault(error: &reqwest::Error) -> Fault {
    if error.is_connect() {
        return Fault::Connection(connection(error));
    }
    let is_end = |it: &io::Error| it.kind() == io::ErrorKind::UnexpectedEof;
    if sources(error).filter_map(|it| it.downcast_ref()).any(is_end) {
        return Fault::BreaksOff;
    }
    // The text of the error itself contains the URL.
    Fault::Other(root_cause(error))
}

fn connection(error: &reqwest::Error) -> ConnectionFault {
    for source in sources(error) {
        if let Some(tls) = source.downcast_ref() {
            return certificate(tls);
        }
        match source.downcast_ref().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return ConnectionFault::Refused,
            Some(io::ErrorKind::TimedOut) => return ConnectionFault::TimedOut,
            _ => {}
        }
    }
    let text = root_cause(error);
    match text.strip_prefix("tunnel error: ") {
        Some(reason) => ConnectionFault::Proxy(reason.to_owned()),
        None if error.is_timeout() => ConnectionFault::TimedOut,
        None => ConnectionFault::Other(text),
    }
}

fn certificate(error: &rustls::Error) -> ConnectionFault {
    let rustls::Error::InvalidCertificate(reason) = error else {
        return ConnectionFault::Tls(error.to_string());
    };
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ConnectionFault::Untrusted
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ConnectionFault::OtherHost
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => ConnectionFault::Expired,
        _ => ConnectionFault::Tls(error.to_string()),
    }
}

/// The last source of an error. The errors before it only say that something failed.
pub(super) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    sources(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The sources of an error, one after the other. [`io::Error`] skips the error that it contains, and names
/// the source of that error as its own. This function does not skip it.
fn sources<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&it| {
        match it.downcast_ref().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => it.source(),
        }
    })
}

#[cfg(test)]
mod tests;
