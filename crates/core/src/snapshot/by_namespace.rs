//! Objects of one kind, indexed by namespace and name.

use std::collections::BTreeMap;

use super::cluster::{ServiceAccount, StoredSecret};

/// An object that lives in a namespace.
pub trait Namespaced {
    /// Its namespace.
    fn namespace(&self) -> &str;

    /// Its name.
    fn name(&self) -> &str;
}

impl Namespaced for StoredSecret {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Namespaced for ServiceAccount {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Objects of one kind by namespace and name, so that a lookup does not search all namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByNamespace<T>(BTreeMap<String, BTreeMap<String, T>>);

impl<T> Default for ByNamespace<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> ByNamespace<T> {
    /// The object of that namespace and name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&T> {
        self.0.get(namespace)?.get(name)
    }

    /// The objects of one namespace, by name.
    pub fn within(&self, namespace: &str) -> impl Iterator<Item = &T> {
        self.0.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// All objects, by namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// Whether there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Namespaced> ByNamespace<T> {
    /// Adds an object, or replaces that of the same namespace and name.
    pub fn insert(&mut self, object: T) {
        let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
        self.0.entry(namespace).or_default().insert(name, object);
    }
}

impl<T: Namespaced> Extend<T> for ByNamespace<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, objects: I) {
        for object in objects {
            self.insert(object);
        }
    }
}

impl<T: Namespaced> FromIterator<T> for ByNamespace<T> {
    fn from_iter<I: IntoIterator<Item = T>>(objects: I) -> Self {
        let mut all = Self::default();
        all.extend(objects);
        all
    }
}
