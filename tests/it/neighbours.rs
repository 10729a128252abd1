//! Neighbours: whose values a key sees, what stands in for one without, tables that are no graph, and partitions that hide
//! keys from each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use arterial::spec::outline::Scope;
use arterial::spec::{PipelineFile, Registry};
use arterial::stages::clean::Table;
use arterial::stages::features::{
    At, ColumnKind, Direction, FeatureMatrix, FeatureSettings, Features, FeaturesPlan, Fill, Graph, GraphSettings, Of,
    Period,
};
use arterial::stages::window::ClosedWindow;
use arterial::vocab::Snapshot;

use super::features::{input, lags, plan, profile, window};
use super::predict_support::MemoryState;
use super::run_support::{Ends, edited, run};
use super::spec_support::{only_problem, spoilt};

const HOUR: i64 = 3_600_000_000;
const NAN: f64 = f64::NAN;
/// Names of keys; `f` never reports, and nothing links to `g`.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "g"];
/// The nearest first: of `b` those are upstream `a` and `c`, downstream `d`, in that order `d`, `a`, `c`.
const ROADS: &str = "from,to,metres\na,b,20\nc,b,30.5\nb,d,10\nf,a,5\nd,e,7\ne,d,1\n";

fn graph(csv: &str, settings: &GraphSettings) -> Result<Graph, String> {
    let key: Vec<&str> =
        [Some(&settings.from), settings.to.as_ref()].into_iter().flatten().map(String::as_str).collect();
    let table = Table::from_csv_by("roads", csv.as_bytes(), &key).map_err(|error| error.to_string())?;
    Graph::of(&table, settings).map_err(|error| error.to_string())
}

fn columns(to: Option<&str>, weight: Option<&str>, distance: Option<&str>) -> GraphSettings {
    let text = |name: Option<&str>| name.map(str::to_owned);
    GraphSettings { from: "from".to_owned(), to: text(to), weight: text(weight), distance: text(distance) }
}

fn roads() -> Arc<Graph> {
    Arc::new(graph(ROADS, &columns(Some("to"), None, Some("metres"))).unwrap())
}

/// Neighbours of `speed` by the roads.
struct Look(Direction, u32, Of, bool, Option<i64>);

impl Look {
    fn settings(&self) -> FeatureSettings {
        self.by(roads())
    }

    fn by(&self, graph: Arc<Graph>) -> FeatureSettings {
        let Self(direction, count, of, mean, max_age) = *self;
        FeatureSettings::Neighbours { column: "speed".to_owned(), graph, direction, count, of, mean, max_age }
    }
}

fn shown(values: &[f64]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn update(features: &mut Features, names: &[Option<&'static str>], window: &ClosedWindow) -> FeatureMatrix {
    features.meet_keys(names.len(), |key| names[key as usize]);
    features.update(window)
}

fn named(names: &[&'static str]) -> Vec<Option<&'static str>> {
    names.iter().map(|name| Some(*name)).collect()
}

#[test]
fn each_neighbour_has_its_own_column_the_nearest_first_and_the_own_value_stands_in_where_there_is_none() {
    let values = |direction, count| {
        let settings = [lags(Fill::Last, false), Look(direction, count, Of::Value, false, None).settings()];
        let mut features = Features::new(plan(&settings));
        let matrix =
            update(&mut features, &named(&["b", "d", "stranger", "a", "c"]), &window(0, &[1.0, 2.0, 3.0, 4.0, 5.0]));
        (0..5).map(|key| matrix.row(key)[3..].to_vec()).collect::<Vec<_>>()
    };
    let both = values(Direction::Both, 3);
    assert_eq!(both[0], [2.0, 4.0, 5.0], "b: d is 10 m away, a 20, c 30.5");
    assert_eq!(both[1], [2.0, 1.0, 2.0], "d: of e on both sides, 1 m away, nothing was read; then b");
    assert_eq!(both[2], [3.0; 3], "not in the table");
    assert_eq!(both[3], [4.0, 1.0, 4.0], "a: f, which never reports, and b");
    assert_eq!(values(Direction::Upstream, 2)[0], [4.0, 5.0]);
    assert_eq!(values(Direction::Downstream, 2)[0], [2.0, 1.0]);
    assert_eq!(values(Direction::Both, 1)[0], [2.0]);
}

#[test]
fn mean_is_of_the_neighbours_that_have_a_value_and_a_deviation_that_is_not_known_is_none() {
    let mean = Look(Direction::Both, 3, Of::Value, true, None).settings();
    let deviation = Look(Direction::Both, 3, Of::Deviation, false, None).settings();
    let plan = plan(&[lags(Fill::Last, false), profile(Period::Day, At::Now, 1), mean, deviation]);
    let kinds: Vec<_> = plan.columns()[4..].iter().map(|column| (column.name.as_str(), column.in_units_of())).collect();
    let names = ["speed.neighbours", "speed.neighbour0", "speed.neighbour1", "speed.neighbour2"];
    assert_eq!(kinds, names.map(|name| (name, Some("speed"))));
    let mut features = Features::new(plan);
    let names = named(&["b", "a", "c"]);
    assert_eq!(
        shown(&update(&mut features, &names, &window(0, &[1.0, NAN, NAN])).row(0)[4..]),
        shown(&[1.0, 0.0, 0.0, 0.0])
    );
    update(&mut features, &names, &window(24 * HOUR, &[1.0, 10.0, NAN]));
    let matrix = update(&mut features, &names, &window(48 * HOUR, &[1.0, 20.0, 40.0]));
    assert_eq!(matrix.row(0)[4..], [30.0, 0.0, 5.0, 0.0], "a is 5 above its mean of 15, c is as usual, d is not there");
}

#[test]
fn silent_neighbour_counts_as_its_lags_say_until_it_is_too_old() {
    let run = |fill, max_age| {
        let settings = [lags(fill, false), Look(Direction::Upstream, 1, Of::Value, false, max_age).settings()];
        let mut features = Features::new(plan(&settings));
        let speeds = [7.0, NAN, NAN, NAN, 9.0];
        let one = |(step, speed): (usize, &f64)| {
            update(&mut features, &named(&["a", "b"]), &window(step as i64 * HOUR, &[*speed, 1.0])).row(1)[3]
        };
        speeds.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    assert_eq!(run(Fill::Last, None), [7.0, 7.0, 7.0, 7.0, 9.0]);
    assert_eq!(run(Fill::Last, Some(2 * HOUR)), [7.0, 7.0, 7.0, 1.0, 9.0]);
    assert_eq!(run(Fill::None, None), [7.0, 1.0, 1.0, 1.0, 9.0]);
    let far = FeaturesPlan::new(
        &[lags(Fill::Last, false), Look(Direction::Both, 1, Of::Value, false, Some(255 * HOUR)).settings()],
        &input(),
    );
    let said = far.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert!(said.contains("max_age of 255 windows is beyond the 254"), "{said}");
}

#[test]
fn neighbour_is_met_when_it_appears_and_forgotten_when_it_expires_whatever_its_id() {
    let mut features = Features::new(plan(&[
        lags(Fill::Last, false),
        Look(Direction::Upstream, 2, Of::Value, false, None).settings(),
    ]));
    let mut seen = |names: &[Option<&'static str>], speeds: &[f64], expired: &[u32]| {
        let closed = ClosedWindow { expired: expired.to_vec(), ..window(0, speeds) };
        update(&mut features, names, &closed).row(0)[3..].to_vec()
    };
    assert_eq!(seen(&[Some("b")], &[1.0], &[]), [1.0, 1.0]);
    assert_eq!(seen(&[Some("b"), Some("c")], &[1.0, 30.0], &[]), [1.0, 30.0], "c came later");
    assert_eq!(
        seen(&[Some("b"), Some("c"), Some("a")], &[1.0, 31.0, 20.0], &[1]),
        [20.0, 31.0],
        "its last window counts"
    );
    assert_eq!(seen(&[Some("b"), None, Some("a")], &[1.0, NAN, 21.0], &[]), [21.0, 1.0]);
    assert_eq!(
        seen(&[Some("b"), Some("e"), Some("a")], &[1.0, 90.0, 22.0], &[]),
        [22.0, 1.0],
        "the id is another key's"
    );
    assert_eq!(seen(&[Some("b"), Some("e"), Some("a"), Some("c")], &[1.0, 90.0, 22.0, 33.0], &[]), [22.0, 33.0]);
}

#[test]
fn matrix_of_weights_is_read_as_it_is_published() {
    let matrix = "from,7,08,9\n7,1,0.5,0\n08,0.2,1,\n9,0.9,0,1\n";
    let graph = Arc::new(graph(matrix, &columns(None, None, None)).unwrap());
    let seen = |direction| {
        let settings = [lags(Fill::Last, false), Look(direction, 2, Of::Value, false, None).by(Arc::clone(&graph))];
        update(&mut Features::new(plan(&settings)), &named(&["7", "08", "9"]), &window(0, &[1.0, 2.0, 3.0])).row(0)[3..]
            .to_vec()
    };
    assert_eq!(seen(Direction::Upstream), [3.0, 2.0], "0.9 of 9, then 0.2 of 08");
    assert_eq!(seen(Direction::Downstream), [2.0, 1.0]);
    assert_eq!(seen(Direction::Both), [3.0, 2.0], "08 is 0.5 away on one side");
}

#[test]
fn table_that_is_no_graph_is_refused_with_its_row() {
    let listed = |csv: &str, weight, distance| graph(csv, &columns(Some("to"), weight, distance)).unwrap_err();
    assert_eq!(listed("from,to\na,b\nb,b\n", None, None), "table `roads`: row 2 links `b` to itself");
    assert_eq!(listed("from,to\na,b\nb,a\na,b\n", None, None), "row 3 repeats the key `a, b`");
    assert_eq!(listed("from,to\na,b\na,\n", None, None), "row 2 has no `to`");
    assert_eq!(listed("from,into\na,b\n", None, None), "no key column `to`; the columns are from, into");
    assert_eq!(listed("from,to\na,b\n", Some("w"), None), "table `roads` has no column `w`");
    assert_eq!(
        listed("from,to,w\na,b,1\nb,c,0\n", Some("w"), None),
        "table `roads`: `w` of row 2 is no number above 0"
    );
    assert_eq!(
        listed("from,to,w\na,b,1\nb,c,\n", None, Some("w")),
        "table `roads`: `w` of row 2 is no number of at least 0"
    );
    assert_eq!(
        listed("from,to,w\na,b,1\nb,c,near\n", Some("w"), None),
        "table `roads`: `w` of row 2 is no number at all"
    );
    assert_eq!(listed("from,to\n", None, None), "table `roads` holds no links");
    let matrix = graph("from,a,b\na,0,1\nb,-1,0\n", &columns(None, None, None)).unwrap_err();
    assert_eq!(matrix, "table `roads`: `a` of row 2 is no number of at least 0");
    for wrong in ["NaN", "inf"] {
        let csv = format!("from,a,b\na,{wrong},1\nb,{wrong},0\n");
        let matrix = graph(&csv, &columns(None, None, None)).unwrap_err();
        assert_eq!(
            matrix, "table `roads`: `a` of row 2 is no number of at least 0",
            "{wrong}; its diagonal says nothing"
        );
        let csv = format!("from,to,w\na,b,1\nb,c,{wrong}\n");
        assert_eq!(listed(&csv, Some("w"), None), "table `roads`: `w` of row 2 is no number above 0");
        assert_eq!(listed(&csv, None, Some("w")), "table `roads`: `w` of row 2 is no number of at least 0");
    }
}

#[test]
fn only_sines_flags_and_ages_are_unitless() {
    let ratio = FeatureSettings::Ratio { of: "flow".to_owned(), to: "speed".to_owned() };
    let missing = FeatureSettings::Missing { column: "speed".to_owned() };
    let plan =
        plan(&[lags(Fill::Last, true), ratio, missing, Look(Direction::Both, 1, Of::Value, false, None).settings()]);
    let kinds: BTreeMap<&str, &ColumnKind> = plan.columns().iter().map(|one| (one.name.as_str(), &one.kind)).collect();
    let speed = ColumnKind::InUnitsOf("speed".to_owned());
    assert_eq!(kinds["speed.lag0"], &speed);
    assert_eq!(kinds["speed.neighbour0"], &speed);
    assert_eq!(kinds["flow.by_speed"], &ColumnKind::OwnUnit);
    assert_eq!((kinds["speed.age"], kinds["speed.missing"]), (&ColumnKind::Unitless, &ColumnKind::Unitless));
}

/// A window with the keys' names in it: `fates` say which ids report nothing, expire, or are given out again.
fn story(steps: &[Vec<(f64, u8)>]) -> Vec<(Vec<Option<&'static str>>, ClosedWindow)> {
    let mut names: Vec<Option<&'static str>> = Vec::new();
    let mut told = Vec::new();
    for (step, ids) in steps.iter().enumerate() {
        for (id, (_, fate)) in ids.iter().enumerate().take(2 + step) {
            if names.len() <= id {
                names.push(None);
            }
            let unused =
                NAMES.iter().cycle().skip(*fate as usize).take(NAMES.len()).find(|name| !names.contains(&Some(**name)));
            names[id] = names[id].or(unused.filter(|_| fate % 3 > 0).copied());
        }
        let values: Vec<f64> = ids.iter().zip(&names).map(|((value, _), name)| name.map_or(NAN, |_| *value)).collect();
        let mut closed = window(step as i64 * 7 * HOUR, &values);
        closed.live = names.iter().map(Option::is_some).collect();
        let fates = ids.iter().zip(&names).enumerate();
        closed.expired =
            fates.filter(|(_, ((_, fate), name))| *fate == 11 && name.is_some()).map(|(id, _)| id as u32).collect();
        told.push((names.clone(), closed.clone()));
        closed.expired.iter().for_each(|id| names[*id as usize] = None);
    }
    told
}

fn stories() -> impl Strategy<Value = Vec<Vec<(f64, u8)>>> {
    let value = prop_oneof![1 => Just(NAN), 3 => (0..40u8).prop_map(f64::from)];
    proptest::collection::vec(proptest::collection::vec((value, 0..12u8), 5), 1..40)
}

/// `b` sees these, nearest first; and so on for every name, upstream and downstream together.
fn nearest(name: &str) -> &'static [&'static str] {
    match name {
        "a" => &["f", "b"],
        "b" => &["d", "a", "c"],
        "c" => &["b"],
        "d" => &["e", "b"],
        "e" => &["d"],
        _ => &[],
    }
}

fn everything() -> Arc<FeaturesPlan> {
    plan(&[
        lags(Fill::Last, false),
        profile(Period::Day, At::Now, 1),
        Look(Direction::Both, 2, Of::Value, false, None).settings(),
        Look(Direction::Both, 3, Of::Deviation, true, None).settings(),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn neighbours_are_what_looking_up_every_name_in_every_window_says(steps in stories()) {
        let mut features = Features::new(everything());
        for (names, closed) in story(&steps) {
            let matrix = update(&mut features, &names, &closed);
            // Columns: three lags, the profile, two neighbours, the mean of three deviations.
            let lookup = |name: &str| names.iter().position(|known| *known == Some(name)).map(|key| matrix.row(key as u32));
            for (key, name) in names.iter().enumerate() {
                let row = matrix.row(key as u32);
                let around = name.map_or(&[][..], nearest);
                let value = |slot: usize| around.get(slot).and_then(|name| lookup(name)).map(|row| row[0]).filter(|value| !value.is_nan());
                let wanted = [0, 1].map(|slot| value(slot).unwrap_or(row[0]));
                let deviations = around.iter().filter_map(|name| lookup(name)).map(|row| row[0] - row[3]);
                let deviations: Vec<f64> = deviations.filter(|deviation| !deviation.is_nan()).collect();
                let mean = if deviations.is_empty() { 0.0 } else { deviations.iter().sum::<f64>() / deviations.len() as f64 };
                prop_assert_eq!(shown(&row[4..]), shown(&[wanted[0], wanted[1], mean]), "{:?} at {}", name, closed.end);
            }
        }
    }

    #[test]
    fn neighbours_need_no_state_of_their_own_to_go_on_after_a_restart(
        steps in stories(),
        restarts in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let (mut undisturbed, mut features) = (Features::new(everything()), Features::new(everything()));
        let mut state = MemoryState::default();
        for ((names, closed), restart) in story(&steps).iter().zip(restarts) {
            let (left, right) = (update(&mut undisturbed, names, closed), update(&mut features, names, closed));
            prop_assert_eq!(shown(&left.values), shown(&right.values));
            if restart {
                features.snapshot(Snapshot::Changed, &mut state);
                features = Features::new(everything());
                features.restore(&state).unwrap();
            }
        }
    }
}

/// The good file with a table of links, this step after its features, and of its keys only the sensor.
fn with(table: &str, step: &str) -> String {
    let (sites, differences) =
        ("  sites: { file: sites.csv, key: sensor_id }\n", "  - differences: { column: speed_kmh, count: 5 }\n");
    spoilt(&[(sites, &format!("{sites}  roads: {table}\n")), (differences, &format!("{differences}  - {step}\n"))])
}

#[test]
fn links_and_neighbours_are_checked_in_the_file() {
    const LINKS: &str = "{ file: links.csv, graph: { from: a, to: b } }";
    const STEP: &str = "neighbours: { column: speed_kmh, table: roads, count: 4 }";
    assert_eq!(super::spec_support::problems(&with(LINKS, STEP)), []);
    let refused = |table: &str, step: &str, message: &str, hint: &str| only_problem(&with(table, step), message, hint);
    let none = "neighbours: { column: speed_kmh, table: «road, count: 4 }";
    refused(LINKS, none, "table `road` is not declared under `tables:`", "`roads`");
    let keyed = "neighbours: { column: speed_kmh, table: «sites, count: 4 }";
    refused(LINKS, keyed, "table `sites` has no `graph`, so nothing says who is next to whom", "graph: { from");
    let read = "lookup: { table: «roads, columns: [a], max_age: 1h }";
    refused(LINKS, read, "table `roads` holds links, which are looked up by no key", "`key`");
    let both = "{ file: links.csv, key: a, graph: { from: a, to: b } }";
    let mark = |text: String| text.replace("  roads: {", "  «roads: {");
    let found = "table `roads` needs exactly one of key, graph, found ";
    only_problem(&mark(with(both, STEP)), &format!("{found}key and graph"), "keep one");
    let neither = "{ file: links.csv }";
    only_problem(&mark(with(neither, "ratio: { of: readings, to: speed_kmh }")), &format!("{found}none"), "keep one");
    let near = "{ file: links.csv, graph: { from: a, to: b, weight: w, «distance: d } }";
    refused(near, STEP, "`weight` and `distance` both say how near a link is", "remove one");
    let matrix = "{ file: links.csv, graph: { from: a, «weight: w } }";
    refused(matrix, STEP, "a matrix has no column of weights or distances", "add `to`");
    let twice = "{ file: links.csv, graph: { from: a, to: «a } }";
    refused(twice, STEP, "column `a` is named twice", "another");
    let column = "neighbours: { column: «sped_kmh, table: roads, count: 4 }";
    refused(LINKS, column, "`sped_kmh` is not a column of the window", "speed_kmh");
    let topics = with(LINKS, STEP).replace("topics: [\"${city}.loops\"]", "«topics: [loops, more]");
    only_problem(
        &topics,
        "`neighbours` tell of other keys (pipeline scope): 2 topics are 2 partitions at least",
        "one topic",
    );
    let key =
        with(LINKS, &STEP.replace("roads", "«roads")).replace("  key: [sensor_id]\n", "  key: [sensor_id, lane]\n");
    only_problem(&key, "`neighbours` need a window key of one column, as in their table; it has 2", "window by");
}

#[test]
fn outline_says_that_the_pipeline_crosses_keys() {
    let outline = super::run_support::plan(&corridor(1)).outline();
    assert_eq!(outline.scope, Scope::Pipeline);
    let features = outline.stages.iter().find(|stage| stage.stage == "features").unwrap();
    assert!(features.does.contains(&"neighbours of speed_kmh: each of 2 of roads, both, values".to_owned()));
    assert_eq!(features.columns.last().unwrap().name, "speed_kmh.neighbour1");
    assert_eq!(super::run_support::plan(super::run_support::PIPELINE).outline().scope, Scope::Partition);
}

/// The corridor with links between its detectors, in so many partitions.
fn corridor(partitions: u32) -> String {
    let lags = "  - lags: { column: speed_kmh, count: 3, fill: last }\n";
    let step = "  - neighbours: { column: speed_kmh, table: roads, count: 2 }\n";
    let table = "tables:\n  roads: { graph: { from: up, to: down }, rows: [{ up: R01-00, down: R01-01 }, { up: X, down: Y }] }\nwindow:";
    edited(&[
        ("partitions: 2", &format!("partitions: {partitions}")),
        ("window:", table),
        (lags, &format!("{lags}{step}")),
    ])
}

#[test]
fn partitions_that_would_hide_keys_from_each_other_are_refused_in_the_file() {
    let file = PipelineFile::parse("pipeline.yaml", &corridor(2), &|_| None, &Registry::standard());
    let said = file.finish().unwrap_err().to_string();
    assert!(
        said.contains("`neighbours` tell of other keys (pipeline scope): 2 partitions hide keys from each other"),
        "{said}"
    );
}

#[test]
fn source_of_several_partitions_ends_the_start_with_their_number() {
    // The ends are of two partitions, whatever the file says of its own.
    let ran = run(super::run_support::plan(&corridor(1)), &Ends::new(2));
    let error = ran.result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`neighbours` tell of other keys (pipeline scope), so the source must have one partition; it has 2 of `simulate`"
    );
    assert!(error.hint().contains("one topic of one partition"), "{}", error.hint());
    assert!(!error.transient());
}
