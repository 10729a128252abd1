//! Cells -> how their numbers are written: what stands before the decimals and between thousands.

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) decimal_comma: bool,
    pub(super) thousands: Option<char>,
}

impl Numbers {
    /// How these cells are written. Decimals stand behind a comma where some do and none behind a point. Signs part thousands
    /// where some cell cannot be read otherwise (`1.038,4`, `1.234.567`) and none contradicts; a comma also where it parts
    /// groups of three only, in a table whose cells it parts, too: nobody quotes decimals to write exactly three of them.
    pub(super) fn of<'a>(cells: impl Iterator<Item = &'a str> + Clone, delimiter: char) -> Self {
        for (sign, decimal) in [('.', ','), (',', '.')] {
            let sure = cells.clone().any(|cell| is_grouped(cell, sign, decimal) && surely(cell, sign, decimal));
            let comma = sign == ','
                && delimiter == ','
                && cells.clone().any(|cell| is_grouped(cell, ',', '.') && cell.contains(','));
            let fits = |cell: &str| is_grouped(cell, sign, decimal) || !looks_numeric(cell);
            if (sure || comma) && cells.clone().all(fits) {
                return Self { decimal_comma: decimal == ',', thousands: Some(sign) };
            }
        }
        let decimal_comma =
            cells.clone().any(|cell| is_decimal(cell, ',')) && !{ cells }.any(|cell| is_decimal(cell, '.'));
        Self { decimal_comma, thousands: None }
    }

    /// A cell as a number, if it is one.
    pub(super) fn read(self, text: &str) -> Option<f64> {
        let decimal = if self.decimal_comma { ',' } else { '.' };
        let plain = match self.thousands {
            Some(sign) if text.contains(sign) && is_grouped(text, sign, decimal) => text.replace(sign, ""),
            _ => text.to_owned(),
        };
        let decimals = self.decimal_comma && is_decimal(&plain, ',');
        let plain = if decimals { plain.replace(',', ".") } else { plain };
        plain.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

/// Whether a text is digits, a sign that stands before decimals, and digits.
fn is_decimal(text: &str, sign: char) -> bool {
    unsigned(text).split_once(sign).is_some_and(|(whole, decimals)| digits(whole) && digits(decimals))
}

/// Whether a text is a number with thousands parted by this sign, or without any.
fn is_grouped(text: &str, sign: char, decimal: char) -> bool {
    let number = unsigned(text);
    let (whole, decimals) = number.split_once(decimal).map_or((number, "0"), |(whole, decimals)| (whole, decimals));
    let mut groups = whole.split(sign);
    let first = groups.next().is_some_and(|group| digits(group) && (group.len() <= 3 || !whole.contains(sign)));
    first && digits(decimals) && groups.all(|group| group.len() == 3 && digits(group))
}

/// Whether the sign of a grouped number can mean nothing else: it comes twice, or decimals follow.
fn surely(text: &str, sign: char, decimal: char) -> bool {
    let signs = text.matches(sign).count();
    signs > 1 || (signs == 1 && text.contains(decimal))
}

/// Whether a text is digits and signs of numbers: dates with points are, too, and times are not.
fn looks_numeric(text: &str) -> bool {
    let number = unsigned(text);
    number.contains(['.', ','])
        && number.bytes().all(|byte| byte.is_ascii_digit() || b".,".contains(&byte))
        && super::dates::is_date(text).is_none()
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
