//! Prequential scores as a scraper sees them: the summary's numbers, over all partitions of the process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use arterial::observe::Metrics;
use arterial::serve::Server;
use arterial::stages::predict::{Baseline, ScoreTotal};
use arterial_connectors::memory::{CommitFault, Faults};

use crate::run_support::{Ends, PIPELINE, edited, plan, run};

/// Samples of an exposition by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter(|text| !text.starts_with('#')).filter_map(line).collect()
}

fn labels(total: &ScoreTotal) -> String {
    format!("predictor=\"{}\",horizon=\"15m\",model=\"{}\"", total.predictor, total.model)
}

/// `GET /metrics`, with nothing but a socket.
fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: arterial\r\nConnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// Serves metrics on a free port and scrapes them once.
fn served(metrics: std::sync::Arc<Metrics>) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::bind("127.0.0.1:0".parse().unwrap(), metrics)).unwrap();
    let address = server.address().unwrap();
    runtime.spawn(server.serve(std::future::pending()));
    scrape(address)
}

#[test]
fn scraped_scores_are_those_of_the_summary() {
    let ran = run(plan(PIPELINE), &Ends::new(10));
    let summary = ran.result.unwrap();
    let scraped = served(ran.metrics);
    let found = samples(&scraped);
    assert_eq!(summary.partitions.len(), 2, "sums over partitions");
    assert_eq!(summary.scores.len(), 3);
    for total in &summary.scores {
        assert!(total.sums.count > 500, "{total:?}");
        let labels = labels(total);
        assert_eq!(found[&format!("arterial_predict_labels_total{{{labels}}}")], total.sums.count as f64);
        assert_eq!(Some(found[&format!("arterial_predict_mae{{{labels}}}")]), total.sums.mae());
        assert_eq!(Some(found[&format!("arterial_predict_rmse{{{labels}}}")]), total.sums.rmse());
        for baseline in [Baseline::Persistence, Baseline::Profile] {
            let expected = total.skill(baseline);
            let baseline = baseline.name();
            assert_eq!(expected.is_none(), total.model == baseline);
            let name = format!("arterial_predict_skill_ratio{{{labels},baseline=\"{baseline}\"}}");
            assert_eq!(found.get(&name).copied(), expected, "{name}");
        }
    }
    for (name, kind) in [("labels", "counter"), ("mae", "gauge"), ("rmse", "gauge"), ("skill_ratio", "gauge")] {
        let line = format!("# TYPE arterial_predict_{name} {kind}");
        assert_eq!(scraped.lines().filter(|found| *found == line).count(), 1, "{line}");
    }
}

#[test]
fn scraped_weights_are_those_of_the_summary_and_of_experts_only() {
    let mix =
        "model: { mix: { experts: { linear: { online_linear: { scale: 10 } }, last: { feature: speed_kmh.lag0 } } } }";
    let ran = run(plan(&edited(&[("model: { online_linear: { scale: 10 } }", mix)])), &Ends::new(10));
    let summary = ran.result.unwrap();
    let found = samples(&ran.metrics.encode().unwrap());
    let of =
        |total: &ScoreTotal| found.get(&format!("arterial_predict_mix_weight_ratio{{{}}}", labels(total))).copied();
    assert_eq!(
        summary.scores.iter().map(|total| total.model.as_str()).collect::<Vec<_>>().join(" "),
        "mix persistence profile last linear"
    );
    for total in &summary.scores[..3] {
        assert_eq!((total.weight, of(total)), (None, None), "{}", total.model);
    }
    let mut sum = 0.0;
    for total in &summary.scores[3..] {
        let weight = total.weight.expect("an expert");
        assert_eq!(weight.keys, 16, "over both partitions");
        assert_eq!(of(total), weight.mean());
        sum += weight.mean().expect("labels");
    }
    assert!((sum - 1.0).abs() < 1e-12, "{sum}");
}

#[test]
fn labels_that_models_refused_are_told() {
    let name = "arterial_predict_refused_labels_total{predictor=\"speed\",horizon=\"15m\",model=\"online_linear\"}";
    let told = |text: &str| {
        let ran = run(plan(text), &Ends::new(10));
        let exported = samples(&ran.metrics.encode().unwrap())[name];
        (ran.result.unwrap().refused_labels(), exported)
    };
    assert_eq!(told(PIPELINE), (0, 0.0));
    // Numbers whose squares no f64 holds.
    let extreme = "clean:\n  - sql: SELECT * REPLACE \
                   (CASE WHEN flow_veh_h > 600 THEN speed_kmh * 1e200 ELSE speed_kmh END AS speed_kmh) FROM rows\n";
    let dedupe = "  - dedupe: { key: [sensor_id, observed_at], within: 20m }\n";
    let spoilt = edited(&[("clean:\n", extreme), (dedupe, ""), ("avg(speed_kmh)", "max(speed_kmh)")]);
    let (refused, exported) = told(&spoilt);
    assert!(refused > 0);
    assert_eq!(exported, refused as f64);
}

#[test]
fn scores_of_what_was_not_committed_are_not_shown() {
    let mut ends = Ends::new(10);
    ends.faults = (1..=3).fold(Faults::none(), |faults, nth| faults.commit(nth, CommitFault::Failed));
    let ran = run(plan(PIPELINE), &ends);
    assert!(ran.result.is_err());
    let text = ran.metrics.encode().unwrap();
    assert!(!text.contains("arterial_predict_labels_total"), "{text}");
}

#[test]
fn running_pipeline_serves_its_scores() {
    let listening = "delivery: at_least_once\nruntime: { listen: \"127.0.0.1:0\" }\n";
    let endless = PIPELINE.replace("length: 10h", "length: 200d, speed: 36000");
    let text = endless.replace("delivery: at_least_once\n", listening);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("score-metrics.yaml");
    std::fs::write(&path, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_arterial"))
        .arg("run")
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = log.by_ref().find(|line| line.contains("address=")).expect("the log names the address");
    let address: SocketAddr = line.rsplit_once("address=").unwrap().1.parse().expect("an address");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let scored = |text: &str| {
        let name = "arterial_predict_labels_total{predictor=\"speed\",horizon=\"15m\",model=\"online_linear\"}";
        samples(text).get(name).is_some_and(|count| *count > 0.0)
    };
    while !scored(&scrape(address)) {
        assert!(std::time::Instant::now() < deadline, "no scores after a minute");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
