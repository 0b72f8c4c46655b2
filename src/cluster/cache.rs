//! A cache of objects in the cluster, each reduced to what decisions need.
//!
//! Unlike kube's store, the cache holds no object, and so no secret value. It also takes this process's
//! own writes at once, so that a reconcile does not repeat a write that the watch has not shown yet.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use acr_attach_core::problem::{Cause, Problem};

/// Namespace and name. The namespace is empty for a namespace itself.
pub type Key = (String, String);

/// A cache of one kind of objects. Several watches, one for each name that matters, may fill it.
#[derive(Debug)]
pub struct Cache<T> {
    what: &'static str,
    /// The name that each watch selects; `None` for all names.
    watches: Vec<Option<String>>,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    entries: BTreeMap<Key, Entry<T>>,
    /// Tombstones: recently deleted objects, with the version and time of the deletion. They keep an earlier
    /// own write that is noted late from bringing the object back.
    gone: Vec<(Key, u64, Instant)>,
    /// For each watch, why its objects have not been read; `None` once they have.
    unread: Vec<Option<Problem>>,
}

#[derive(Debug)]
struct Entry<T> {
    version: u64,
    value: T,
}

/// How long a tombstone is kept. No call to the API server takes longer, so no write is noted later.
const GONE: Duration = Duration::from_secs(60);

/// An object before and after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheChange<T> {
    /// The key of the object.
    pub key: Key,
    /// The object before; `None` if it did not exist.
    pub before: Option<T>,
    /// The object after; `None` if it is gone.
    pub after: Option<T>,
}

impl<T: Clone + PartialEq> Cache<T> {
    /// Creates an empty cache. A watch for each of these names fills it; `None` is for all names.
    #[must_use]
    pub fn new(what: &'static str, watches: Vec<Option<String>>) -> Self {
        let unread = Problem::new(Cause::Busy, format!("reading {what} for the first time"));
        let unread = vec![Some(unread); watches.len()];
        let state = State { entries: BTreeMap::new(), gone: Vec::new(), unread };
        Self { what, watches, state: Mutex::new(state) }
    }

    /// Returns the wanted objects.
    ///
    /// # Errors
    /// While not all objects have been read: the reason.
    pub fn select(&self, wanted: impl Fn(&T) -> bool) -> Result<Vec<T>, Problem> {
        let state = self.lock();
        if let Some(problem) = state.unread.iter().flatten().next() {
            return Err(problem.clone());
        }
        Ok(state.entries.values().map(|it| &it.value).filter(|it| wanted(it)).cloned().collect())
    }

    /// Returns the objects of one namespace.
    ///
    /// # Errors
    /// While not all objects have been read: the reason.
    pub fn within(&self, namespace: &str) -> Result<Vec<T>, Problem> {
        let state = self.lock();
        if let Some(problem) = state.unread.iter().flatten().next() {
            return Err(problem.clone());
        }
        let first = (namespace.to_owned(), String::new());
        let here = state.entries.range(first..).take_while(|((it, _), _)| it == namespace);
        Ok(here.map(|(_, it)| it.value.clone()).collect())
    }

    /// Returns the object of that namespace and name.
    ///
    /// # Errors
    /// While not all objects have been read: the reason.
    pub fn get(&self, namespace: &str, name: &str) -> Result<Option<T>, Problem> {
        let state = self.lock();
        if let Some(problem) = state.unread.iter().flatten().next() {
            return Err(problem.clone());
        }
        let found = state.entries.get(&(namespace.to_owned(), name.to_owned()));
        Ok(found.map(|it| it.value.clone()))
    }

    /// Why not all objects have been read; `None` if they have.
    #[must_use]
    pub fn unread(&self) -> Option<Problem> {
        self.lock().unread.iter().flatten().next().cloned()
    }

    /// Takes an own write, unless the cache has a newer version or the deletion.
    pub fn note(&self, key: Key, version: u64, value: T) {
        let mut state = self.lock();
        let is_gone = state.gone.iter().any(|(it, at, _)| *it == key && *at > version);
        let newer = state.entries.get(&key).is_none_or(|it| it.version < version);
        if newer && !is_gone {
            state.entries.insert(key, Entry { version, value });
        }
    }

    /// Takes an own deletion: removes the object, and leaves a tombstone of its cached version. A watch
    /// may already show a later object of that name, which stays.
    pub fn note_deleted(&self, key: &Key, is_it: impl FnOnce(&T) -> bool) {
        let mut state = self.lock();
        let version = state.entries.get(key).filter(|it| is_it(&it.value)).map(|it| it.version);
        if let Some(version) = version {
            state.entries.remove(key);
            state.bury(key.clone(), version);
        }
    }

    /// Takes an object as a watch shows it. Returns the change, if there is one.
    pub fn apply(&self, key: Key, version: u64, value: T) -> Option<CacheChange<T>> {
        self.lock().apply(key, version, value)
    }

    /// Takes the deletion of an object, as of that version. Returns the change, if there is one.
    pub fn delete(&self, key: Key, version: u64) -> Option<CacheChange<T>> {
        let mut state = self.lock();
        if state.entries.get(&key).is_some_and(|it| it.version > version) {
            return None;
        }
        state.bury(key.clone(), version);
        let before = state.entries.remove(&key).map(|it| it.value);
        changed(key, before, None)
    }

    /// Takes the complete list of a watch in one step, so that no reader sees half of it. Removes what
    /// the watch no longer lists. Returns the changes, and whether it was the first list of the watch.
    pub fn replace(&self, watch: usize, list: Vec<(Key, u64, T)>) -> (Vec<CacheChange<T>>, bool) {
        let mut state = self.lock();
        let listed: HashSet<Key> = list.iter().map(|(key, ..)| key.clone()).collect();
        let applied =
            list.into_iter().map(|(key, version, value)| state.apply(key, version, value));
        let mut changes: Vec<_> = applied.flatten().collect();
        let only = self.watches.get(watch).and_then(Option::as_ref);
        let shows = |(_, name): &Key| only.is_none_or(|it| it == name);
        let gone: Vec<Key> = state.entries.keys().filter(|it| shows(it)).cloned().collect();
        for key in gone.into_iter().filter(|it| !listed.contains(it)) {
            let before = state.entries.remove(&key).map(|it| it.value);
            changes.extend(changed(key, before, None));
        }
        let first = state.unread.get_mut(watch).is_some_and(|it| it.take().is_some());
        (changes, first)
    }

    /// Takes the failure of a watch. Objects that were read before stay valid.
    pub fn fail(&self, watch: usize, problem: Problem) {
        if let Some(unread @ Some(_)) = self.lock().unread.get_mut(watch) {
            *unread = Some(problem);
        }
    }

    /// The kind of objects in the cache, for messages.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + PartialEq> State<T> {
    fn apply(&mut self, key: Key, version: u64, value: T) -> Option<CacheChange<T>> {
        let before = self.entries.get(&key);
        let is_gone = self.gone.iter().any(|(it, at, _)| *it == key && *at >= version);
        if is_gone || before.is_some_and(|it| it.version > version) {
            return None;
        }
        let before = before.map(|it| it.value.clone());
        self.entries.insert(key.clone(), Entry { version, value: value.clone() });
        changed(key, before, Some(value))
    }

    fn bury(&mut self, key: Key, version: u64) {
        let now = Instant::now();
        self.gone.retain(|(_, _, at)| now.duration_since(*at) < GONE);
        self.gone.push((key, version, now));
    }
}

fn changed<T: PartialEq>(key: Key, before: Option<T>, after: Option<T>) -> Option<CacheChange<T>> {
    (before != after).then_some(CacheChange { key, before, after })
}

/// Parses a resource version. Versions of one resource compare as numbers (Kubernetes API concepts,
/// "Resource versions").
#[must_use]
pub fn version(text: Option<&str>) -> u64 {
    text.and_then(|it| it.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("a".to_owned(), name.to_owned())
    }

    /// Creates a cache with one watch for each name. Without names, the cache has one watch for all objects.
    fn cache(names: &[&str]) -> Cache<u8> {
        let watches = names.iter().map(|it| Some((*it).to_owned())).collect();
        Cache::new("things", if names.is_empty() { vec![None] } else { watches })
    }

    fn read(cache: &Cache<u8>) -> Vec<u8> {
        let mut all = cache.select(|_| true).unwrap();
        all.sort_unstable();
        all
    }

    #[test]
    fn nothing_is_said_before_every_watch_has_listed() {
        let cache = cache(&["x", "y"]);
        assert_eq!(cache.select(|_| true).unwrap_err().cause, Cause::Busy);
        assert!(cache.replace(0, vec![(key("x"), 1, 1)]).1);
        cache.fail(1, Problem::new(Cause::AccessDenied, "403"));
        assert_eq!(cache.select(|_| true).unwrap_err().cause, Cause::AccessDenied);
        assert!(cache.replace(1, vec![(key("y"), 1, 2)]).1);
        cache.fail(1, Problem::new(Cause::Unavailable, "500"));
        assert_eq!(read(&cache), [1, 2]);
    }

    #[test]
    fn nobody_sees_half_a_list() {
        let cache = cache(&[]);
        let list = (0..=u8::MAX).map(|n| (key(&n.to_string()), 1, n)).collect();
        std::thread::scope(|threads| {
            let looking = threads.spawn(|| {
                loop {
                    if let Ok(seen) = cache.select(|_| true) {
                        return seen.len();
                    }
                }
            });
            cache.replace(0, list);
            assert_eq!(looking.join().unwrap(), 256);
        });
    }

    #[test]
    fn a_new_list_takes_away_what_that_watch_alone_shows() {
        let cache = cache(&["x", "y"]);
        let elsewhere = ("b".to_owned(), "x".to_owned());
        cache.replace(0, vec![(key("x"), 1, 1), (elsewhere.clone(), 1, 3)]);
        cache.replace(1, vec![(key("y"), 1, 2)]);
        let (changes, first) = cache.replace(0, vec![(key("x"), 1, 1)]);
        let gone = CacheChange { key: elsewhere, before: Some(3), after: None };
        assert_eq!((changes, first), (vec![gone], false));
        assert_eq!(read(&cache), [1, 2]);
    }

    #[test]
    fn what_we_wrote_is_not_undone_by_what_the_watch_shows_late() {
        let cache = cache(&[]);
        cache.replace(0, vec![]);
        cache.note(key("x"), 5, 5);
        assert_eq!(cache.apply(key("x"), 4, 4), None);
        assert_eq!(cache.delete(key("x"), 4), None);
        assert_eq!(read(&cache), [5]);
        // The event of the own write changes nothing.
        assert_eq!(cache.apply(key("x"), 5, 5), None);
        assert!(cache.delete(key("x"), 6).is_some());
        assert_eq!(read(&cache), [0; 0]);
    }

    #[test]
    fn what_was_deleted_before_we_noted_it_does_not_return() {
        let cache = cache(&[]);
        cache.replace(0, vec![]);
        // Version 5 is an own write. The watch shows its deletion before the write is answered.
        assert_eq!(cache.delete(key("x"), 6), None);
        cache.note(key("x"), 5, 5);
        assert_eq!(read(&cache), [0; 0]);
        // The next list removes what was noted while the watch was broken.
        cache.note(key("y"), 7, 7);
        assert_eq!(cache.replace(0, vec![]).0.len(), 1);
        assert_eq!(read(&cache), [0; 0]);
    }

    #[test]
    fn what_we_deleted_is_gone_at_once_and_that_is_no_news_later() {
        let cache = cache(&[]);
        cache.replace(0, vec![(key("x"), 1, 1)]);
        cache.note_deleted(&key("x"), |it| *it == 1);
        assert_eq!(read(&cache), [0; 0]);
        assert_eq!(cache.delete(key("x"), 2), None);
        // Another writer creates an object of that name before the API server answers the deletion.
        cache.apply(key("x"), 3, 2);
        cache.note_deleted(&key("x"), |it| *it == 1);
        assert_eq!(read(&cache), [2]);
    }
}
