//! The wall clock of a running pipeline. Everything else has time passed in.

use crate::vocab::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the one place where wall-clock time enters the engine")]
        let now = std::time::SystemTime::now();
        // Before 1970 or after the year 294000 no sensor city exists.
        now.duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}
