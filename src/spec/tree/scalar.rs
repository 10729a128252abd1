//! A plain scalar's text -> null, boolean, number or text, by YAML 1.2's core schema and nothing more: `no`, `on` and
//! `12:30` are text.
//!
//! # Source
//! YAML 1.2.2, section 10.3.2 "Tag Resolution". Deviations: infinities and NaN stay text (JSON has none of them), and
//! a float without a fraction (`1.0`, `1e3`) is the whole number it equals.

use serde_json::Number;

use super::Value;

/// The value of an unquoted scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(number) => Value::Number(number, text.to_owned()),
            None => Value::Text(text.to_owned()),
        },
    }
}

/// The number that a text is by the core schema, if it is one.
pub(in crate::spec) fn number(text: &str) -> Option<Number> {
    if let Some(octal) = text.strip_prefix("0o").filter(|digits| all(digits, |b| (b'0'..=b'7').contains(&b))) {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    if let Some(hex) = text.strip_prefix("0x").filter(|digits| all(digits, |b| b.is_ascii_hexdigit())) {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !is_decimal(unsigned) {
        return None;
    }
    let positive = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = positive.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = positive.parse::<u64>() {
        return Some(whole.into());
    }
    let float: f64 = positive.parse().ok()?;
    whole_number(float).or_else(|| Number::from_f64(float))
}

/// The integer that a float equals. Above 2^53 neighbouring integers are one float, so it stays a float there.
fn whole_number(float: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let negative_zero = float == 0.0 && float.is_sign_negative();
    // In this range the cast is exact.
    (float.fract() == 0.0 && float.abs() <= EXACT && !negative_zero).then(|| Number::from(float as i64))
}

/// `[0-9]+(\.[0-9]*)?` or `\.[0-9]+`, each with an exponent or without.
fn is_decimal(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let exponent_fits = exponent.is_none_or(|text| all(text.strip_prefix(['-', '+']).unwrap_or(text), is_digit));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits = match whole.is_empty() {
        true => all(fraction, is_digit),
        false => all(whole, is_digit) && fraction.bytes().all(is_digit),
    };
    exponent_fits && mantissa_fits
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Whether there is at least one byte and every one fits.
fn all(text: &str, fits: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(fits)
}
