//! One request over HTTP: bounded in time and in size, and its failure told without what was sent.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response};
use rustls::CertificateError;
use thiserror::Error;

use crate::findings::network::ConnectionFault;

/// How much an answer may hold. A token is a few KiB.
const MOST_BYTES: usize = 256 << 10;

/// An answer, whatever its status.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, if it is a text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// A text in the body, which is an object.
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
    #[error("the answer is larger than {} KiB", MOST_BYTES >> 10)]
    TooLarge,
    #[error("the answer breaks off")]
    BreaksOff,
    #[error("{0}")]
    Other(String),
}

impl Fault {
    /// Why there is no connection, if that is it.
    pub fn connection(&self) -> Option<&ConnectionFault> {
        match self {
            Self::Connection(fault) => Some(fault),
            _ => None,
        }
    }
}

/// Sends a request and takes the whole answer.
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
        if body.len() > MOST_BYTES {
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
    if causes(error).filter_map(|it| it.downcast_ref()).any(is_end) {
        return Fault::BreaksOff;
    }
    // Its own text names the URL.
    Fault::Other(innermost(error))
}

fn connection(error: &reqwest::Error) -> ConnectionFault {
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref() {
            return certificate(tls);
        }
        match cause.downcast_ref().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return ConnectionFault::Refused,
            Some(io::ErrorKind::TimedOut) => return ConnectionFault::TimedOut,
            _ => {}
        }
    }
    let text = innermost(error);
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

/// What was the matter in the end: the first errors of a chain only say that something was.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// What an error goes back to, one after the other. An [`io::Error`] does not give the one within it as its
/// source, only the source of that.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&it| {
        match it.downcast_ref().and_then(io::Error::get_ref) {
            Some(within) => Some(within),
            None => it.source(),
        }
    })
}

#[cfg(test)]
mod tests;
