//! Cells -> how their numbers are written: what stands before the decimals and between thousands.

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) decimal_comma: bool,
    pub(super) thousands: Option<char>,
}

impl Numbers {
    /// How the cells of these columns are written. Decimals stand behind a comma where some do and none behind a point. A sign
    /// parts thousands where no cell contradicts and it can mean nothing else: it comes twice or before decimals (`1.038,4`,
    /// `1.234.567`); it is no sign of decimals (`1 038`); decimals stand behind the other sign elsewhere in the table; or it stands in
    /// all numbers of a column from 1,000 on and in none below. A comma also in a table whose cells it parts: nobody quotes
    /// decimals to write exactly three of them.
    pub(super) fn of(columns: &[Vec<&str>], delimiter: char) -> Self {
        let cells = || columns.iter().flatten().copied();
        for (sign, decimal) in [('.', ','), (',', '.'), (' ', ','), (' ', '.'), ('\'', '.')] {
            let grouped = |cell: &str| cell.contains(sign) && is_grouped(cell, sign, decimal);
            let sure =
                cells().any(|cell| grouped(cell) && (surely(cell, sign, decimal) || [' ', '\''].contains(&sign)));
            let comma = sign == ',' && delimiter == ',' && cells().any(grouped);
            let other =
                || cells().any(grouped) && cells().any(|cell| is_decimal(cell, decimal) && !is_decimal(cell, sign));
            let from_1000 = || columns.iter().any(|column| is_parted(column, sign, decimal));
            let fits = |cell: &str| is_grouped(cell, sign, decimal) || !looks_numeric(cell, sign);
            if cells().all(fits) && (sure || comma || sign != ',' && (other() || from_1000())) {
                return Self { decimal_comma: decimal == ',', thousands: Some(sign) };
            }
        }
        let decimal_comma = cells().any(|cell| is_decimal(cell, ',')) && !cells().any(|cell| is_decimal(cell, '.'));
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

/// Whether this sign stands in all numbers of a column from 1,000 on and in none below, and there are some of both.
fn is_parted(column: &[&str], sign: char, decimal: char) -> bool {
    let whole = |cell: &&&str| digits(unsigned(cell));
    let signed = || column.iter().filter(|cell| cell.contains(sign) && looks_numeric(cell, sign));
    let large = |cell: &&str| is_grouped(cell, sign, decimal) && !unsigned(cell).starts_with('0');
    column.iter().any(|cell| whole(&cell))
        && column.iter().filter(whole).all(|cell| unsigned(cell).len() <= 3)
        && signed().next().is_some()
        && signed().all(large)
}

/// Whether the sign of a grouped number can mean nothing else: it comes twice, or decimals follow.
fn surely(text: &str, sign: char, decimal: char) -> bool {
    let signs = text.matches(sign).count();
    signs > 1 || (signs == 1 && text.contains(decimal))
}

/// Whether a text is digits and signs of numbers: dates with points are, too, and times are not.
fn looks_numeric(text: &str, sign: char) -> bool {
    let number = unsigned(text);
    number.contains(['.', ',', sign])
        && number.starts_with(|first: char| first.is_ascii_digit())
        && number.chars().all(|one| one.is_ascii_digit() || ['.', ',', sign].contains(&one))
        && super::dates::is_date(text).is_none()
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
