//! Reads that several reconciles share, such as the one cluster that a thousand attachments name.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use super::error::Error;

/// How long an answer is kept. No caller accepts an older one, however long it waited in a queue.
const RETENTION: SignedDuration = SignedDuration::from_mins(5);

/// The latest read for each key: in flight, or with its answer.
#[derive(Debug)]
pub(super) struct SingleFlight<K, T>(Mutex<HashMap<K, Arc<Flight<T>>>>);

#[derive(Debug)]
struct Flight<T> {
    started: Timestamp,
    answer: OnceCell<Result<T, Error>>,
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, T: Clone> SingleFlight<K, T> {
    /// The answer of a read that started at `not_before` or later, else that of `read`.
    ///
    /// Concurrent callers share the read in flight, even if it fails: reading again would take
    /// longer, and waste the calls that these callers made before. Errors are not cached.
    pub(super) async fn get(
        &self,
        key: &K,
        not_before: Timestamp,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let flight = self.flight(key, not_before, Timestamp::now());
        let answer = flight.answer.get_or_init(|| read).await.clone();
        if answer.is_err() {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if flights.get(key).is_some_and(|it| Arc::ptr_eq(it, &flight)) {
                flights.remove(key);
            }
        }
        answer
    }

    fn flight(&self, key: &K, not_before: Timestamp, now: Timestamp) -> Arc<Flight<T>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, it| now.duration_since(it.started) < RETENTION);
        if let Some(flight) = flights.get(key).filter(|it| it.started >= not_before) {
            return Arc::clone(flight);
        }
        let flight = Arc::new(Flight { started: now, answer: OnceCell::new() });
        flights.insert(key.clone(), Arc::clone(&flight));
        flight
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn ago(seconds: i64) -> Timestamp {
        Timestamp::now() - SignedDuration::from_secs(seconds)
    }

    /// Answers with the number of reads so far.
    async fn count(reads: &AtomicU32) -> Result<u32, Error> {
        tokio::task::yield_now().await;
        Ok(reads.fetch_add(1, Ordering::Relaxed) + 1)
    }

    #[tokio::test]
    async fn callers_share_a_read_unless_they_need_a_newer_one() {
        let (reads, done) = (SingleFlight::default(), AtomicU32::new(0));
        let get = |key, not_before| reads.get(key, not_before, count(&done));
        let (a, b, other) = tokio::join!(get(&"a", ago(0)), get(&"a", ago(9)), get(&"b", ago(9)));
        let a = a.unwrap();
        assert!(a == b.unwrap() && a != other.unwrap());
        assert_eq!(get(&"a", ago(5)).await.unwrap(), a);
        let future = Timestamp::now() + SignedDuration::from_secs(1);
        assert_eq!(get(&"a", future).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn answers_expire() {
        let reads: SingleFlight<&str, u32> = SingleFlight::default();
        let first = reads.flight(&"a", ago(9), ago(0));
        let later = Timestamp::now() + RETENTION;
        assert!(!Arc::ptr_eq(&first, &reads.flight(&"a", ago(9), later)));
    }

    #[tokio::test]
    async fn concurrent_callers_share_a_failure_and_later_callers_do_not() {
        let (reads, done) = (SingleFlight::default(), AtomicU32::new(0));
        let fail = async {
            count(&done).await?;
            Err(Error::busy("x", 1, None))
        };
        let attempts =
            tokio::join!(reads.get(&"a", ago(9), fail), reads.get(&"a", ago(9), count(&done)));
        assert!(attempts.0.is_err() && attempts.1.is_err());
        assert_eq!(reads.get(&"a", ago(9), count(&done)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn the_next_caller_reads_after_a_read_was_abandoned() {
        let reads: SingleFlight<&str, u32> = SingleFlight::default();
        let not_before = ago(9);
        let hanging = reads.get(&"a", not_before, std::future::pending());
        let abandoned = tokio::time::timeout(std::time::Duration::from_millis(1), hanging).await;
        assert!(abandoned.is_err());
        assert_eq!(reads.get(&"a", not_before, async { Ok(7) }).await.unwrap(), 7);
    }
}
