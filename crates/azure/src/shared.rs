//! Reads that serve all passes that ask for the same thing, such as the one cluster that a
//! thousand attachments name.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use super::error::Error;

/// No answer serves longer than this, however long those who ask have waited for their turn.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// The answers, by what was asked for.
#[derive(Debug)]
pub(super) struct Shared<K, T>(Mutex<HashMap<K, Arc<Answer<T>>>>);

#[derive(Debug)]
struct Answer<T> {
    /// When it was asked for.
    at: Timestamp,
    told: OnceCell<Result<T, Error>>,
}

impl<K, T> Default for Shared<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, T: Clone> Shared<K, T> {
    /// What was read since then, else what `read` reads.
    ///
    /// Whoever comes while it is being read takes that answer, good or bad: its own would take
    /// longer, and the calls that it has made before would be in vain. A failure serves nobody
    /// who comes later.
    pub(super) async fn get(
        &self,
        key: &K,
        since: Timestamp,
        read: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let answer = self.answer(key, since, Timestamp::now());
        let told = answer.told.get_or_init(|| read).await.clone();
        if told.is_err() {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.get(key).is_some_and(|it| Arc::ptr_eq(it, &answer)) {
                all.remove(key);
            }
        }
        told
    }

    fn answer(&self, key: &K, since: Timestamp, now: Timestamp) -> Arc<Answer<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, it| now.duration_since(it.at) < LONGEST);
        if let Some(answer) = all.get(key).filter(|it| it.at >= since) {
            return Arc::clone(answer);
        }
        let answer = Arc::new(Answer { at: now, told: OnceCell::new() });
        all.insert(key.clone(), Arc::clone(&answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn ago(seconds: i64) -> Timestamp {
        Timestamp::now() - SignedDuration::from_secs(seconds)
    }

    /// Reads the number of the read.
    async fn count(reads: &AtomicU32) -> Result<u32, Error> {
        tokio::task::yield_now().await;
        Ok(reads.fetch_add(1, Ordering::Relaxed) + 1)
    }

    #[tokio::test]
    async fn one_read_serves_all_that_want_nothing_newer() {
        let (shared, reads) = (Shared::default(), AtomicU32::new(0));
        let get = |key, since| shared.get(key, since, count(&reads));
        let (a, b, other) = tokio::join!(get(&"a", ago(0)), get(&"a", ago(9)), get(&"b", ago(9)));
        let a = a.unwrap();
        assert!(a == b.unwrap() && a != other.unwrap());
        assert_eq!(get(&"a", ago(5)).await.unwrap(), a);
        let future = Timestamp::now() + SignedDuration::from_secs(1);
        assert_eq!(get(&"a", future).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn no_answer_serves_for_ever() {
        let shared: Shared<&str, u32> = Shared::default();
        let first = shared.answer(&"a", ago(9), ago(0));
        let later = Timestamp::now() + LONGEST;
        assert!(!Arc::ptr_eq(&first, &shared.answer(&"a", ago(9), later)));
    }

    #[tokio::test]
    async fn a_failure_serves_those_who_were_there_and_nobody_else() {
        let (shared, reads) = (Shared::default(), AtomicU32::new(0));
        let fail = async {
            count(&reads).await?;
            Err(Error::busy("x", 1, None))
        };
        let attempts =
            tokio::join!(shared.get(&"a", ago(9), fail), shared.get(&"a", ago(9), count(&reads)));
        assert!(attempts.0.is_err() && attempts.1.is_err());
        assert_eq!(shared.get(&"a", ago(9), count(&reads)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_read_that_is_given_up_is_the_next_ones() {
        let shared: Shared<&str, u32> = Shared::default();
        let since = ago(9);
        let hanging = shared.get(&"a", since, std::future::pending());
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(1), hanging).await;
        assert!(given_up.is_err());
        assert_eq!(shared.get(&"a", since, async { Ok(7) }).await.unwrap(), 7);
    }
}
