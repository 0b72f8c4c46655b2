//! A mirror of objects in the cluster, each reduced to what decisions need.
//!
//! Unlike kube's store it holds no object, and so no secret value; and it takes what we wrote
//! ourselves at once, so that a pass does not do again what the watch has not shown yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::problem::{Cause, Problem};

/// Namespace and name; a namespace is in none.
pub type Key = (String, String);

/// See above. Several watches, one for each name that matters, may fill one mirror.
#[derive(Debug)]
pub struct Mirror<T> {
    what: &'static str,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    entries: HashMap<Key, Entry<T>>,
    /// For each watch, why nothing can be said of what it shows.
    unread: Vec<Option<Problem>>,
}

#[derive(Debug)]
struct Entry<T> {
    watch: usize,
    version: u64,
    value: T,
}

/// How an object was before and after an event.
#[derive(Debug, PartialEq, Eq)]
pub struct Change<T> {
    /// Which.
    pub key: Key,
    /// Before; nothing if it was not there.
    pub before: Option<T>,
    /// After; nothing if it is gone.
    pub after: Option<T>,
}

impl<T: Clone + PartialEq> Mirror<T> {
    /// Of that kind of objects, filled by so many watches.
    #[must_use]
    pub fn new(what: &'static str, watches: usize) -> Self {
        let unread = Problem::new(Cause::Busy, format!("reading {what} for the first time"));
        let state = State { entries: HashMap::new(), unread: vec![Some(unread); watches] };
        Self { what, state: Mutex::new(state) }
    }

    /// The objects that are wanted.
    ///
    /// # Errors
    /// While they have not all been read: why not.
    pub fn select(&self, wanted: impl Fn(&T) -> bool) -> Result<Vec<T>, Problem> {
        let state = self.lock();
        if let Some(problem) = state.unread.iter().flatten().next() {
            return Err(problem.clone());
        }
        Ok(state.entries.values().map(|it| &it.value).filter(|it| wanted(it)).cloned().collect())
    }

    /// Takes what we wrote ourselves.
    pub fn note(&self, key: Key, version: u64, value: T) {
        let mut state = self.lock();
        let watch = state.entries.get(&key).map_or(usize::MAX, |it| it.watch);
        let newer = state.entries.get(&key).is_none_or(|it| it.version < version);
        if newer {
            state.entries.insert(key, Entry { watch, version, value });
        }
    }

    /// Takes what a watch shows; `None` if that changes nothing.
    pub fn apply(&self, watch: usize, key: Key, version: u64, value: T) -> Option<Change<T>> {
        let mut state = self.lock();
        let before = state.entries.get(&key);
        if before.is_some_and(|it| it.version > version) {
            return None;
        }
        let before = before.map(|it| it.value.clone());
        state.entries.insert(key.clone(), Entry { watch, version, value: value.clone() });
        changed(key, before, Some(value))
    }

    /// Takes that an object is gone as of that version.
    pub fn delete(&self, key: Key, version: u64) -> Option<Change<T>> {
        let mut state = self.lock();
        if state.entries.get(&key).is_some_and(|it| it.version > version) {
            return None;
        }
        let before = state.entries.remove(&key).map(|it| it.value);
        changed(key, before, None)
    }

    /// Takes all that a watch has listed. What it listed before and does not list now is gone.
    /// Returns what changed, and whether it was the first list.
    pub fn replace(&self, watch: usize, list: Vec<(Key, u64, T)>) -> (Vec<Change<T>>, bool) {
        let first = match self.lock().unread.get_mut(watch) {
            Some(unread) => unread.take().is_some(),
            None => false,
        };
        let listed: Vec<Key> = list.iter().map(|(key, ..)| key.clone()).collect();
        let applied =
            list.into_iter().map(|(key, version, value)| self.apply(watch, key, version, value));
        let mut changes: Vec<_> = applied.flatten().collect();
        let listed: std::collections::HashSet<_> = listed.into_iter().collect();
        let mut state = self.lock();
        let of_watch = state.entries.iter().filter(|(_, it)| it.watch == watch);
        let gone: Vec<Key> =
            of_watch.map(|(key, _)| key.clone()).filter(|it| !listed.contains(it)).collect();
        for key in gone {
            let before = state.entries.remove(&key).map(|it| it.value);
            changes.extend(changed(key, before, None));
        }
        (changes, first)
    }

    /// Takes that a watch cannot be had. What was read before still counts.
    pub fn fail(&self, watch: usize, problem: Problem) {
        if let Some(unread @ Some(_)) = self.lock().unread.get_mut(watch) {
            *unread = Some(problem);
        }
    }

    /// What it mirrors, for messages.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn changed<T: PartialEq>(key: Key, before: Option<T>, after: Option<T>) -> Option<Change<T>> {
    (before != after).then_some(Change { key, before, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("a".to_owned(), name.to_owned())
    }

    fn read(mirror: &Mirror<u8>) -> Vec<u8> {
        let mut all = mirror.select(|_| true).unwrap();
        all.sort_unstable();
        all
    }

    #[test]
    fn nothing_is_said_before_every_watch_has_listed() {
        let mirror = Mirror::<u8>::new("things", 2);
        assert_eq!(mirror.select(|_| true).unwrap_err().cause, Cause::Busy);
        assert!(mirror.replace(0, vec![(key("x"), 1, 1)]).1);
        mirror.fail(1, Problem::new(Cause::AccessDenied, "403"));
        assert_eq!(mirror.select(|_| true).unwrap_err().cause, Cause::AccessDenied);
        assert!(mirror.replace(1, vec![(key("y"), 1, 2)]).1);
        mirror.fail(1, Problem::new(Cause::Unavailable, "500"));
        assert_eq!(read(&mirror), [1, 2]);
    }

    #[test]
    fn a_new_list_takes_away_what_that_watch_alone_had_shown() {
        let mirror = Mirror::<u8>::new("things", 2);
        mirror.replace(0, vec![(key("x"), 1, 1), (key("z"), 1, 3)]);
        mirror.replace(1, vec![(key("y"), 1, 2)]);
        let (changes, first) = mirror.replace(0, vec![(key("x"), 1, 1)]);
        let gone = Change { key: key("z"), before: Some(3), after: None };
        assert_eq!((changes, first), (vec![gone], false));
        assert_eq!(read(&mirror), [1, 2]);
    }

    #[test]
    fn what_we_wrote_is_not_undone_by_what_the_watch_shows_late() {
        let mirror = Mirror::<u8>::new("things", 1);
        mirror.replace(0, vec![]);
        mirror.note(key("x"), 5, 5);
        assert_eq!(mirror.apply(0, key("x"), 4, 4), None);
        assert_eq!(mirror.delete(key("x"), 4), None);
        assert_eq!(read(&mirror), [5]);
        // Its own event is no news.
        assert_eq!(mirror.apply(0, key("x"), 5, 5), None);
        assert!(mirror.delete(key("x"), 6).is_some());
        assert_eq!(read(&mirror), [0; 0]);
    }
}
