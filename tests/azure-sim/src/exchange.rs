//! One request from arrival to answer: journal, latency, faults, then the face.

use std::{future::pending, time::Duration};

use axum::body::Body;
use hyper::{HeaderMap, Response, StatusCode, body::Incoming, header::USER_AGENT};
use tokio::time::sleep;

use crate::{
    azure::{Azure, Failure},
    endpoint::Endpoint,
    fault::Effect,
    hosts::Face,
    http::{Reply, Request},
    journal::Entry,
};

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was dropped on purpose")]
pub(crate) struct Dropped;

/// Answers one request.
pub(crate) async fn exchange(
    azure: &Azure,
    endpoint: &Endpoint,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    let face = endpoint.face;
    let (request, complete) = Request::read(&endpoint.host, endpoint.client, request).await;
    let sequence = begin(azure, face, &request);
    let latency = Duration::from_millis(azure.model().settings.latency_ms);
    if !latency.is_zero() {
        sleep(latency).await;
    }
    let reply = if complete {
        let reply = struck(azure, face, &request, sequence).await?;
        completed(azure, face, &request, reply).await
    } else {
        let (status, code) = (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge");
        face.error(&request, &Failure { status, code, message: "The request body is too large." })
    };
    azure.journal().note(sequence, |it| {
        it.status = Some(reply.status.as_u16());
        it.code.clone_from(&reply.code);
    });
    Ok(reply.into_response())
}

fn begin(azure: &Azure, face: Face, request: &Request) -> u64 {
    let call = face.call(request);
    let principal = face.caller(azure, request);
    azure.journal().begin(Entry {
        path: request.path.clone(),
        query: request.query.clone(),
        user_agent: user_agent(&request.headers),
        call,
        principal,
        known: call.is_some(),
        ..Entry::new(&request.host, request.method.as_str())
    })
}

/// What a client says it is.
pub(crate) fn user_agent(headers: &HeaderMap) -> Option<String> {
    headers.get(USER_AGENT).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
}

/// The answer after the fault that strikes the request, if one does.
async fn struck(
    azure: &Azure,
    face: Face,
    request: &Request,
    sequence: u64,
) -> Result<Reply, Dropped> {
    let effect = azure.faults().strike(face.call(request), &request.target());
    if let Some(effect) = &effect {
        azure.journal().note(sequence, |it| it.fault = Some(effect.label()));
    }
    Ok(match effect {
        None => face.answer(azure, request),
        Some(Effect::Hang) => pending().await,
        Some(Effect::Drop) => return Err(Dropped),
        Some(Effect::Garbage) => Reply::garbage(),
        Some(Effect::Huge { bytes }) => Reply::huge(bytes),
        Some(Effect::Delay { milliseconds }) => {
            sleep(Duration::from_millis(milliseconds)).await;
            face.answer(azure, request)
        }
        Some(Effect::ApplyThenDrop) => {
            face.answer(azure, request);
            return Err(Dropped);
        }
        Some(Effect::Error { status, code, message, retry_after }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let failure = Failure { status, code: &code, message: &message };
            let reply = face.error(request, &failure);
            match retry_after {
                Some(seconds) => reply.header("retry-after", seconds.to_string()),
                None => reply,
            }
        }
    })
}

/// The answer with what a backend knows of it. This takes a while: the face has let go of the
/// model by then.
async fn completed(azure: &Azure, face: Face, request: &Request, reply: Reply) -> Reply {
    let Some(base) = &reply.backend else { return reply };
    match azure.backend.fetch(base, request).await {
        Ok(answer) => reply.completed(answer),
        Err(error) => {
            let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
            face.error(request, &Failure { status, code, message: &format!("{error:#}") })
        }
    }
}
