//! A reading as bytes: JSON, or what is left of it when it was damaged on its way.

use super::detector::Measured;

/// Appends a reading as JSON.
pub(super) fn write_json(value: &mut Vec<u8>, id: &str, time: &str, measured: &Measured) {
    value.extend_from_slice(b"{\"sensor_id\":\"");
    value.extend_from_slice(id.as_bytes());
    value.extend_from_slice(b"\",\"observed_at\":\"");
    value.extend_from_slice(time.as_bytes());
    value.extend_from_slice(b"\",\"speed_kmh\":");
    match measured.speed_tenths {
        Some(tenths) => write_tenths(value, tenths),
        None => value.extend_from_slice(b"null"),
    }
    value.extend_from_slice(b",\"flow_veh_h\":");
    value.extend_from_slice(measured.flow_veh_h.to_string().as_bytes());
    value.extend_from_slice(b",\"occupancy\":");
    write_tenths(value, measured.occupancy_tenths);
    value.push(b'}');
}

/// Writes a number of tenths as a decimal. Only sentinels are negative, and they are whole.
fn write_tenths(value: &mut Vec<u8>, tenths: i64) {
    value.extend_from_slice(format!("{}.{}", tenths / 10, (tenths % 10).abs()).as_bytes());
}

/// Damages a payload: cut short, something behind it, a byte that is no UTF-8, not JSON at all.
pub(super) fn garble(value: &mut Vec<u8>, way: u32) {
    match way {
        0 => value.truncate(value.len() / 2),
        1 => value.extend_from_slice(b"}{"),
        2 => value[15] = 0xff,
        _ => {
            value.clear();
            value.extend_from_slice(b"ERR 17");
        }
    }
}
