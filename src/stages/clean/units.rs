//! Units by name, and how a number in one becomes a number in another: exactly, where the definitions are exact.

use crate::stages::expression::did_you_mean;

/// What a unit measures. Units of one kind can be converted into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Speed,
    Temperature,
    Pressure,
    Length,
    MassConcentration,
    Fraction,
    Duration,
    Volume,
    Flow,
    Mass,
}

/// A unit: `base = value * factor + offset`, in the first unit of its kind below.
#[derive(Debug, Clone, Copy)]
struct Unit {
    names: &'static [&'static str],
    kind: Kind,
    factor: f64,
    offset: f64,
}

const fn unit(names: &'static [&'static str], kind: Kind, factor: f64) -> Unit {
    Unit { names, kind, factor, offset: 0.0 }
}

/// Sources: BIPM, The International System of Units, 9th edition (2019); NIST Special Publication 811 (2008), appendix B
/// (international foot, mile, nautical mile, inch; pound; US gallon; inch and millimetre of mercury).
const UNITS: [Unit; 45] = [
    unit(&["m/s"], Kind::Speed, 1.0),
    unit(&["km/h", "kph", "kmh"], Kind::Speed, 1.0 / 3.6),
    unit(&["mi/h", "mph"], Kind::Speed, 0.447_04),
    unit(&["kn", "knot"], Kind::Speed, 1852.0 / 3600.0),
    unit(&["ft/s"], Kind::Speed, 0.3048),
    unit(&["K"], Kind::Temperature, 1.0),
    Unit { names: &["degC", "°C"], kind: Kind::Temperature, factor: 1.0, offset: 273.15 },
    Unit { names: &["degF", "°F"], kind: Kind::Temperature, factor: 5.0 / 9.0, offset: 459.67 * 5.0 / 9.0 },
    unit(&["Pa"], Kind::Pressure, 1.0),
    unit(&["hPa", "mbar"], Kind::Pressure, 100.0),
    unit(&["kPa"], Kind::Pressure, 1000.0),
    unit(&["bar"], Kind::Pressure, 100_000.0),
    unit(&["atm"], Kind::Pressure, 101_325.0),
    unit(&["mmHg"], Kind::Pressure, 133.322_387_415),
    unit(&["inHg"], Kind::Pressure, 3_386.388_640_341),
    unit(&["psi"], Kind::Pressure, 6_894.757_293_168),
    unit(&["m"], Kind::Length, 1.0),
    unit(&["mm"], Kind::Length, 0.001),
    unit(&["cm"], Kind::Length, 0.01),
    unit(&["km"], Kind::Length, 1000.0),
    unit(&["in", "inch"], Kind::Length, 0.0254),
    unit(&["ft"], Kind::Length, 0.3048),
    unit(&["mi", "mile"], Kind::Length, 1_609.344),
    unit(&["g/m3"], Kind::MassConcentration, 1.0),
    unit(&["mg/m3"], Kind::MassConcentration, 1e-3),
    unit(&["ug/m3", "µg/m3", "μg/m3"], Kind::MassConcentration, 1e-6),
    unit(&["ng/m3"], Kind::MassConcentration, 1e-9),
    unit(&["1", "fraction"], Kind::Fraction, 1.0),
    unit(&["%", "percent"], Kind::Fraction, 1e-2),
    unit(&["ppm"], Kind::Fraction, 1e-6),
    unit(&["ppb"], Kind::Fraction, 1e-9),
    unit(&["s"], Kind::Duration, 1.0),
    unit(&["ms"], Kind::Duration, 1e-3),
    unit(&["min"], Kind::Duration, 60.0),
    unit(&["h"], Kind::Duration, 3600.0),
    unit(&["m3"], Kind::Volume, 1.0),
    unit(&["L", "l"], Kind::Volume, 1e-3),
    unit(&["gal"], Kind::Volume, 3.785_411_784e-3),
    unit(&["m3/s"], Kind::Flow, 1.0),
    unit(&["m3/h"], Kind::Flow, 1.0 / 3600.0),
    unit(&["L/s", "l/s"], Kind::Flow, 1e-3),
    unit(&["kg"], Kind::Mass, 1.0),
    unit(&["g"], Kind::Mass, 1e-3),
    unit(&["t"], Kind::Mass, 1000.0),
    unit(&["lb"], Kind::Mass, 0.453_592_37),
];

/// Words for units that are written otherwise here, without a plural's `s`.
const WORDS: [(&str, &str); 22] = [
    ("metre", "m"),
    ("meter", "m"),
    ("kilometre", "km"),
    ("kilometer", "km"),
    ("centimetre", "cm"),
    ("centimeter", "cm"),
    ("millimetre", "mm"),
    ("millimeter", "mm"),
    ("foot", "ft"),
    ("feet", "ft"),
    ("celsiu", "degC"),
    ("c", "degC"),
    ("fahrenheit", "degF"),
    ("f", "degF"),
    ("kelvin", "K"),
    ("pascal", "Pa"),
    ("hectopascal", "hPa"),
    ("second", "s"),
    ("minute", "min"),
    ("hour", "h"),
    ("litre", "L"),
    ("liter", "L"),
];

/// What may be meant by a name that is no unit's.
fn unit_hint(name: &str) -> String {
    let lower = name.to_lowercase();
    let word = lower.strip_suffix('s').unwrap_or(&lower);
    if let Some((_, unit)) = WORDS.iter().find(|(known, _)| *known == word) {
        return format!("write `{unit}`");
    }
    let names = || UNITS.iter().flat_map(|unit| unit.names.iter().copied());
    did_you_mean(name, names()).unwrap_or_else(|| {
        let first: Vec<&str> = UNITS.iter().filter_map(|unit| unit.names.first().copied()).collect();
        format!("units are {}", first.join(", "))
    })
}

/// Why a unit cannot become another.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnitProblem {
    /// No such unit, and the nearest name.
    Unknown { name: String, hint: Option<String> },
    /// They measure different things.
    Different,
}

/// A line: `to = from * factor + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conversion {
    pub(super) factor: f64,
    pub(super) offset: f64,
}

/// How numbers in `from` become numbers in `to`.
pub(super) fn conversion(from: &str, to: &str) -> Result<Conversion, UnitProblem> {
    let (from, to) = (find(from)?, find(to)?);
    if from.kind != to.kind {
        return Err(UnitProblem::Different);
    }
    Ok(Conversion { factor: from.factor / to.factor, offset: (from.offset - to.offset) / to.factor })
}

/// Whether two names are of one unit; `None` where one of them is of none that is known here.
#[must_use]
pub fn same_unit(one: &str, other: &str) -> Option<bool> {
    if one == other {
        return Some(true);
    }
    let (one, other) = (find(one).ok()?, find(other).ok()?);
    Some(std::ptr::eq(one, other))
}

fn find(name: &str) -> Result<&'static Unit, UnitProblem> {
    let found = UNITS.iter().find(|unit| unit.names.contains(&name));
    found.ok_or_else(|| UnitProblem::Unknown { name: name.to_owned(), hint: Some(unit_hint(name)) })
}
