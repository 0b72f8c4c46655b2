//! The chart, the image and the first hour.

mod first_hour;
mod helm;
mod image;
mod monitoring;
pub mod objects;
mod openshift;
mod pages;
mod refused_values;
mod release_names;
pub mod rendering;
mod sidecars;
mod values;
