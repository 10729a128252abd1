//! A motorway corridor of loop detectors, made up from a seed: daily demand, bottlenecks whose queues grow upstream,
//! incidents, and detectors that are stuck, send sentinels, fall silent or garble a payload.
//!
//! One partition is one independent replica of the corridor that reports only its own detectors, so partitions can be
//! read, paused and rewound independently of each other. The same seed gives the same bytes on every platform:
//! ChaCha, and arithmetic that IEEE 754 defines to the last bit (no `exp`, no `sin`). Never reads a clock.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what can be chosen, and the detectors' places |
//! | `demand` | vehicles that want to drive, by time of day and day of week |
//! | `corridor` | the road: a cell transmission model with queues |
//! | `detector` | what a detector says about its cell, and how it fails |
//! | `weather` | showers, and what they take of the road's capacity and speed |
//! | [`truth`] | [`events`]: incidents, rain and failures as they were |
//! | [`readings`] | [`Readings`]: the iterator of keys, payloads and timestamps |
//! | [`source`] | [`SimulateSource`]: the same as a source, paced by a clock that is passed in |
//!
//! What is drawn, from which distribution, stands at the constants of `demand`, `corridor` and `detector`. "Normal"
//! means the sum of four uniform numbers, scaled to variance 1 (it never leaves +-3.5 standard deviations).

pub mod config;
mod corridor;
mod demand;
mod detector;
mod noise;
pub mod readings;
pub mod source;
pub mod truth;
mod weather;

pub use config::{SimulateConfig, Site, sites};
pub use readings::{Reading, Readings};
pub use source::{NowMicros, SimulateSource};
pub use truth::{Event, EventKind, events};
