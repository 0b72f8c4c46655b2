//! Publishes Kubernetes events about attachments.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::events::EventRecord;
use acr_attach_core::problem::Cause;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::kubernetes::within;

/// The namespace of events about cluster-scoped objects.
const NAMESPACE: &str = "default";
const CONTROLLER: &str = "acr-attach.dev/acr-attach";
/// The longest note that the API server accepts, in bytes.
const NOTE_LIMIT: usize = 1024;
/// How often an event is sent, and the wait between two tries, while the API server does not answer or
/// is unavailable. The values are those of client-go (tools/record: `maxTriesPerEvent`,
/// `defaultSleepDuration`).
const TRIES: u32 = 12;
const PAUSE: Duration = Duration::from_secs(10);

/// Publishes events.
pub struct Events {
    api: Api<Event>,
    instance: String,
    /// The tasks that send events again. Dropping the set ends them with the leader's term.
    retries: Mutex<JoinSet<()>>,
}

impl Events {
    /// Creates a publisher that names that replica as the reporting instance.
    #[must_use]
    pub fn new(client: Client, instance: String) -> Self {
        let (api, retries) = (Api::namespaced(client, NAMESPACE), Mutex::default());
        Self { api, instance, retries }
    }

    /// Publishes one event about an object. Waits for the first try only; further tries run in the
    /// background. A failure is only logged, since nothing depends on events.
    ///
    /// Each event gets its own object. kube's recorder would merge it into an earlier event of the same
    /// reason and show the earlier text.
    pub async fn publish(&self, about: &impl Resource<DynamicType = ()>, record: EventRecord) {
        let event = self.event(about, record);
        if is_settled(&self.api, &event).await {
            return;
        }
        let retry = retry(self.api.clone(), event).in_current_span();
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        while retries.try_join_next().is_some() {}
        retries.spawn(retry);
    }

    fn event(&self, about: &impl Resource<DynamicType = ()>, record: EventRecord) -> Event {
        let now = Timestamp::now();
        let name = about.meta().name.clone().unwrap_or_default();
        // The name of an event has a length limit, and no part of it may end in a dash.
        let stem: String = name.chars().take(200).collect();
        let stem = stem.trim_end_matches(['-', '.']);
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{stem}.{:x}", now.as_nanosecond())),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: Some(RegistryAttachment::api_version(&()).into_owned()),
                kind: Some(RegistryAttachment::kind(&()).into_owned()),
                name: Some(name),
                uid: about.meta().uid.clone(),
                ..ObjectReference::default()
            }),
            type_: Some(if record.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(record.reason),
            action: Some(record.action.to_owned()),
            note: Some(bounded(&record.note)),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

async fn retry(events: Api<Event>, event: Event) {
    for _ in 1..TRIES {
        tokio::time::sleep(PAUSE).await;
        if is_settled(&events, &event).await {
            break;
        }
    }
}

/// Sends an event. Returns whether another try would be of no use.
async fn is_settled(events: &Api<Event>, event: &Event) -> bool {
    let params = PostParams::default();
    let create = async {
        match events.create(&params, event).await {
            // An earlier try arrived, but its answer did not.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            answer => answer.map(drop),
        }
    };
    let Err(problem) = within("creating an event", create).await else { return true };
    tracing::warn!(event.reason = event.reason, %problem, "an event was not published");
    problem.cause != Cause::Unavailable
}

fn bounded(note: &str) -> String {
    const CUT: &str = "…";
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    let mut end = NOTE_LIMIT - CUT.len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &note[..end])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// A client of an API server that answers with these codes, and then not any more; and the number of its
    /// requests.
    fn answers(codes: &'static [u16]) -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let at = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<Body>| {
            let code = codes.get(at.fetch_add(1, Ordering::Relaxed)).copied();
            async move {
                let Some(code) = code else { return std::future::pending().await };
                let answer = match code {
                    201 => json!({"metadata": {}, "eventTime": null}),
                    code => json!({"kind": "Status", "status": "Failure", "code": code}),
                };
                let answer = Body::from(answer.to_string().into_bytes());
                let answer = Response::builder().status(code).body(answer).unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        (Client::new(service, NAMESPACE), asked)
    }

    #[rstest::rstest]
    #[case::at_once(&[201], 1)]
    #[case::after_an_outage(&[503, 500, 201], 3)]
    #[case::it_had_arrived(&[504, 409], 2)]
    #[case::refused(&[403], 1)]
    #[case::no_answer(&[], 12)]
    #[tokio::test(start_paused = true)]
    async fn an_event_is_sent_until_the_api_server_takes_or_refuses_it(
        #[case] codes: &'static [u16],
        #[case] tries: usize,
    ) {
        let (client, asked) = answers(codes);
        let object =
            RegistryAttachment::new("a", serde_json::from_value(json!({"registry": {}})).unwrap());
        let (reason, note) = ("Attached".to_owned(), String::new());
        let record = EventRecord { warning: false, reason, action: "Attach", note };
        let events = Events::new(client, "one".to_owned());
        events.publish(&object, record).await;
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(asked.load(Ordering::Relaxed), tries);
    }

    #[tokio::test(start_paused = true)]
    async fn no_event_is_sent_again_after_the_term_of_the_leader() {
        let (client, asked) = answers(&[503; 12]);
        let object =
            RegistryAttachment::new("a", serde_json::from_value(json!({"registry": {}})).unwrap());
        let (reason, note) = ("Attached".to_owned(), String::new());
        let record = EventRecord { warning: false, reason, action: "Attach", note };
        let events = Events::new(client, "one".to_owned());
        events.publish(&object, record).await;
        drop(events);
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_note_ends_where_the_api_server_ends_it_and_shows_that() {
        let fits = "x".repeat(NOTE_LIMIT);
        assert_eq!(bounded(&fits), fits);
        let cut = bounded(&"ü".repeat(NOTE_LIMIT));
        assert!(cut.len() <= NOTE_LIMIT && cut.ends_with("ü…"), "{cut}");
    }
}
