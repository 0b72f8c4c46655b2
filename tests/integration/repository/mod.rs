//! The rules of this repository, and its pages.

pub mod documents;
mod tidy;
