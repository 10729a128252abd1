//! Features: lags, differences, calendar, profile.
