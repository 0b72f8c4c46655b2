//! Queues of namespaces to reconcile, and of attachments with new reports.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Lane;

/// A queue for each lane, and one for the names of attachments with new reports.
#[derive(Debug)]
pub struct Queues {
    lanes: [Queue; 2],
    /// Takes the names of attachments with new reports.
    pub reports: UnboundedSender<String>,
    reported: Mutex<Option<UnboundedReceiver<String>>>,
}

#[derive(Debug)]
struct Queue {
    add: UnboundedSender<String>,
    queued: Mutex<Option<UnboundedReceiver<String>>>,
}

impl Default for Queues {
    fn default() -> Self {
        let queue = || {
            let (add, queued) = unbounded_channel();
            Queue { add, queued: Mutex::new(Some(queued)) }
        };
        let (reports, reported) = unbounded_channel();
        Self { lanes: [queue(), queue()], reports, reported: Mutex::new(Some(reported)) }
    }
}

impl Queues {
    /// Returns the names of namespaces to reconcile in a lane. Only the first caller gets the receiver.
    pub fn queued(&self, lane: Lane) -> Option<UnboundedReceiver<String>> {
        let queued = &self.lanes[lane as usize].queued;
        queued.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the names of attachments with new reports. Only the first caller gets the receiver.
    pub fn reported(&self) -> Option<UnboundedReceiver<String>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Enqueues a namespace in both lanes.
    pub fn enqueue(&self, namespace: &str) {
        for lane in Lane::ALL {
            self.add(lane, namespace);
        }
    }

    /// Enqueues a namespace in one lane.
    pub fn add(&self, lane: Lane, namespace: &str) {
        // No receiver is left only when the operator ends.
        let _ = self.lanes[lane as usize].add.send(namespace.to_owned());
    }
}
