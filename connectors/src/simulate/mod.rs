//! A motorway corridor of loop detectors, or a city of several that lead into it and out of it, made up from a seed: daily
//! demand, bottlenecks whose queues grow upstream and over junctions, incidents, rain, matches, and detectors that fail.
//!
//! One partition is one independent replica of the city that reports only its own detectors, so partitions can be read,
//! paused and rewound independently of each other. The same seed gives the same bytes on every platform: ChaCha, and arithmetic that IEEE 754 defines to the last bit (no `exp`, no `sin`). Never reads a clock.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what can be chosen |
//! | [`layout`] | [`sites`] and [`links`]: the detectors' places, and which roads join |
//! | `demand` | vehicles that want to drive, by time of day and day of week |
//! | `corridor` | one road: a cell transmission model with queues |
//! | `city` | all of them in step, and the ramps between them |
//! | `detector` | what a detector says about its cell |
//! | `failure` | the ways in which it fails |
//! | `weather` | showers, and what they take of the road's capacity and speed |
//! | `stadium` | matches, and who drives there |
//! | [`truth`] | [`events`]: incidents, rain, matches and failures as they were |
//! | `payload` | a reading as bytes, whole or damaged |
//! | [`readings`] | [`Readings`]: the iterator of keys, payloads and timestamps |
//! | [`source`] | [`SimulateSource`]: the same as a source, paced by a clock that is passed in |
//!
//! What is drawn, from which distribution, stands at the constants of the modules. "Normal"
//! means the sum of four uniform numbers, scaled to variance 1 (it never leaves +-3.5 standard deviations).

mod city;
pub mod config;
mod corridor;
mod demand;
mod detector;
mod failure;
pub mod layout;
mod noise;
mod payload;
pub mod readings;
pub mod source;
mod stadium;
pub mod truth;
mod weather;

pub use config::{DETECTORS_MAX, Faults, SimulateConfig};
pub use layout::{Direction, Link, Site, links, sites};
pub use readings::{Reading, Readings};
pub use source::{NowMicros, SimulateSource};
pub use truth::{Event, EventKind, events};
