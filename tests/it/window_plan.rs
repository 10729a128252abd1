//! Window settings that cannot work: every problem, with its place.

use arterial::stages::window::{WindowPlan, WindowSettings};

use super::window_support::{MINUTE, columns, schema, settings};

/// Problems as `place: message | hint`.
fn problems(settings: WindowSettings) -> Vec<String> {
    let errors = WindowPlan::new(settings, &schema()).unwrap_err();
    errors.iter().map(|at| format!("{at} | {}", at.hint.as_deref().unwrap_or_default())).collect()
}

#[test]
fn all_problems_of_a_window_are_reported_at_once_with_their_places() {
    let columns = columns(&[
        ("a", "avg(sped)"),
        ("b", "sum(sensor)"),
        ("c", "mode(speed)"),
        ("d", "avg speed"),
        ("lane", "max(speed)"),
        ("speed", "avg(speed)"),
    ]);
    let key = ["sensor", "lane", "speed", "zone"].map(str::to_owned).to_vec();
    let carry = ["flow", "sensor", "flow"].map(str::to_owned).to_vec();
    let aggregates = "write count(*), or count, sum, avg, stddev, min, max, first, last or median of a column: \
                      avg(speed_kmh), or quantile(speed_kmh, 0.95)";
    assert_eq!(
        problems(WindowSettings { columns, key, carry, ..settings() }),
        [
            "window.key[2]: column `speed` is Float64; keys are text or whole numbers | ",
            "window.key[3]: unknown column `zone` | ",
            "window.columns.a: unknown column `sped` | did you mean `speed`?",
            "window.columns.b: column `sensor` is Utf8; windows aggregate numbers | ",
            &format!("window.columns.c: `mode(speed)` is not an aggregate | {aggregates}"),
            &format!("window.columns.d: `avg speed` is not an aggregate | {aggregates}"),
            "window.columns.lane: output column `lane` stands twice, or is a key column too | ",
            "window.columns.speed: output column `speed` stands twice, or is a key column too | ",
            "window.carry[1]: output column `sensor` stands twice, or is a key column too | ",
            "window.carry[1]: column `sensor` is Utf8; windows aggregate numbers | ",
            "window.carry[2]: output column `flow` stands twice, or is a key column too | ",
        ]
    );
}

#[test]
fn lengths_and_limits_that_the_state_cannot_keep_are_refused() {
    let none = WindowSettings { size: 0, expire_after: 0, key: Vec::new(), max_delay: -1, ..settings() };
    assert_eq!(
        problems(none),
        [
            "window.size: the window's size is 0, not at least 1 | ",
            "window.size: `max_delay` is -1, not at least 0 | ",
            "window.size: `expire_after` is 0, not at least 1 | ",
            "window.key: the number of key columns is 0, not at least 1 | ",
        ]
    );
    let most = 65_533 * 5 * MINUTE;
    let mut sliding = WindowSettings { every: Some(2 * MINUTE), ..settings() };
    let multiple =
        "is no multiple of `every`, 120000000 us, or more than 1440 times that | make `size` a multiple of `every`";
    assert!(problems(sliding.clone())[0].contains(multiple), "{:?}", problems(sliding));
    sliding.size = 2 * 1441 * MINUTE;
    assert!(problems(sliding.clone())[0].contains(multiple), "{:?}", problems(sliding));
    sliding.size = 2 * 1440 * MINUTE;
    assert!(WindowPlan::new(sliding.clone(), &schema()).is_ok());
    sliding.every = Some(0);
    assert!(problems(sliding)[0].starts_with("window.every: `every` is 0, not at least 1"));
    assert!(WindowPlan::new(WindowSettings { max_delay: most, ..settings() }, &schema()).is_ok());
    let found = problems(WindowSettings { max_delay: most + 5 * MINUTE, keys_max: (1 << 26) + 1, ..settings() });
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("window.size: 65537 windows are open at once"), "{}", found[0]);
    assert!(found[1].starts_with("window.key: 67108865 keys in a partition"), "{}", found[1]);
}

#[test]
fn plan_tells_what_saved_windows_mean_from_what_they_may_go_on_under() {
    let of = |settings| WindowPlan::new(settings, &schema()).unwrap().made_with();
    let same = of(settings());
    let tuned = of(WindowSettings { max_delay: 0, keys_max: 5, expire_after: 10 * MINUTE, ..settings() });
    assert_eq!(tuned.meaning, same.meaning);
    assert_ne!(tuned.settings, same.settings);
    let means = |settings| of(settings).meaning;
    assert_ne!(means(WindowSettings { size: MINUTE, ..settings() }), same.meaning);
    assert_ne!(means(WindowSettings { every: Some(MINUTE), ..settings() }), same.meaning);
    assert_eq!(means(WindowSettings { every: Some(5 * MINUTE), ..settings() }), same.meaning);
    assert_ne!(means(WindowSettings { columns: columns(&[("speed", "avg(lane)")]), ..settings() }), same.meaning);
    assert_ne!(means(WindowSettings { carry: vec!["lane".to_owned()], ..settings() }), same.meaning);
    let end = arterial::stages::window::Stamps::End;
    assert_ne!(means(WindowSettings { stamps: end, interval: 5 * MINUTE, ..settings() }), same.meaning);
}
