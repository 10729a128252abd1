//! What the documentation shows must work: its pipelines are valid, its commands over shipped pipelines run, its make
//! targets exist, the shipped pipelines pass their own tests, and the published schema is the one that the code has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn arterial(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arterial"));
    if std::env::var_os("ARTERIAL_DATA").is_none() {
        command.env("ARTERIAL_DATA", stand_in_data());
    }
    command.current_dir(root()).args(arguments).output().expect("it runs")
}

/// A folder with the tables that shipped pipelines read beside their data, which are not in the repository.
fn stand_in_data() -> PathBuf {
    let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("data");
    let folder = data.join("metr_la_60");
    let roads = folder.join("adjacency.csv");
    if !roads.exists() {
        fs::create_dir_all(&folder).expect("a folder");
        let written = folder.join(format!("{}.{:?}", std::process::id(), std::thread::current().id()));
        fs::write(&written, "sensor_id,773869,767541\n773869,1,0.5\n767541,0.25,1\n").expect("a file");
        fs::rename(&written, &roads).expect("in one step: tests run side by side");
    }
    data
}

fn shipped() -> Vec<String> {
    let mut files: Vec<String> = fs::read_dir(root().join("pipelines"))
        .expect("pipelines")
        .map(|entry| format!("pipelines/{}", entry.expect("an entry").file_name().to_string_lossy()))
        .filter(|file| file.ends_with(".yaml"))
        .collect();
    files.sort();
    files
}

/// The fenced blocks of a language in a Markdown file.
fn blocks(file: &Path, language: &str) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a document");
    let opening = format!("```{language}\n");
    text.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next().map(str::to_owned)).collect()
}

/// The README and everything under `docs/`.
fn documents() -> Vec<PathBuf> {
    let (mut found, mut folders) = (vec![root().join("README.md")], vec![root().join("docs")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The words of a line of shell, without variables before the command and a comment behind it.
fn command(line: &str) -> Vec<&str> {
    let line = line.split(" #").next().unwrap_or_default();
    let set = |word: &&str| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c == '_' || c.is_ascii_uppercase()))
    };
    line.split_whitespace().skip_while(set).collect()
}

/// Every command in a fenced block of shell: the document, the words.
fn shell_commands(documents: &[PathBuf]) -> Vec<(String, Vec<String>)> {
    let mut commands = Vec::new();
    for document in documents {
        let name = document.strip_prefix(root()).expect("ours").display().to_string();
        for line in blocks(document, "sh").iter().flat_map(|block| block.lines()) {
            commands.push((name.clone(), command(line).into_iter().map(str::to_owned).collect()));
        }
    }
    commands
}

/// Rows that are computed: an evaluation needs neither a broker nor data that is not in the repository.
fn simulated(pipeline: &str) -> bool {
    fs::read_to_string(root().join(pipeline)).expect("a pipeline").contains("\n    simulate:")
}

#[test]
fn commands_over_shipped_pipelines_that_documents_show_run() {
    let mut ran = Vec::new();
    for (document, words) in shell_commands(&documents()) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ["arterial", verb @ ("validate" | "explain" | "graph" | "test" | "eval"), ..] = words[..] else { continue };
        let pipelines: Vec<&str> = words.iter().copied().filter(|word| word.starts_with("pipelines/")).collect();
        let missing = pipelines.iter().find(|pipeline| !root().join(pipeline).exists());
        assert!(missing.is_none(), "{document}: {} does not exist", missing.unwrap_or(&""));
        if pipelines.is_empty() || (verb == "eval" && !pipelines.iter().all(|pipeline| simulated(pipeline))) {
            continue;
        }
        let output = arterial(&words[1..]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{document}: `{}` fails: {said}", words.join(" "));
        ran.push(verb.to_owned());
    }
    for verb in ["test", "eval"] {
        assert!(
            ran.iter().any(|done| done == verb),
            "no document shows `arterial {verb}` on a shipped pipeline: {ran:?}"
        );
    }
}

/// What `make` is told in the documents: in fenced blocks and in words between backticks.
fn make_targets_shown(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).expect("a document");
    // Between backticks, one or three of them, is every second piece.
    let code = text.split('`').skip(1).step_by(2);
    let target = |line: &str| match command(line)[..] {
        ["make", target, ..] => Some(target.to_owned()),
        _ => None,
    };
    code.flat_map(str::lines).filter_map(target).collect()
}

#[test]
fn every_make_target_that_documents_show_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    let rule = |line: &str| {
        let (name, _) = line.split_once(':')?;
        name.chars().all(|c| c == '-' || c.is_ascii_lowercase()).then(|| name.to_owned())
    };
    let known: Vec<String> = makefile.lines().filter_map(rule).collect();
    let mut shown = Vec::new();
    for document in documents() {
        for target in make_targets_shown(&document) {
            assert!(known.contains(&target), "{}: there is no `make {target}`", document.display());
            shown.push(target);
        }
    }
    for target in ["demo", "test", "check", "bench", "bench-state", "accuracy", "kill-nine"] {
        assert!(shown.iter().any(|word| word == target), "no document shows `make {target}`: {shown:?}");
    }
}

#[test]
fn make_test_fetches_no_broker_where_one_is_named() {
    let steps = |broker: Option<&str>| {
        let mut make = Command::new("make");
        make.current_dir(root()).args(["-n", "test"]).env_remove("ARTERIAL_TEST_KAFKA");
        make.envs(broker.map(|address| ("ARTERIAL_TEST_KAFKA", address)));
        let output = make.output().expect("make runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(steps(None).contains("kafka.sh jars"));
    let shared = steps(Some("127.0.0.1:9092"));
    assert!(shared.contains("cargo test") && !shared.contains("kafka.sh"), "{shared}");
}

#[test]
fn shipped_pipelines_are_valid() {
    for file in shipped() {
        let output = arterial(&["validate", &file]);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn shipped_pipelines_pass_their_own_tests() {
    let files = shipped();
    let mut arguments = vec!["test"];
    arguments.extend(files.iter().map(String::as_str));
    let output = arterial(&arguments);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}");
    assert!(!out.contains("0 passed"), "no pipeline carries a test: {out}");
}

#[test]
fn the_demo_shows_an_alert_and_a_model_that_beats_both_baselines() {
    let output = arterial(&["run", "--until", "latest", "--format", "json", "pipelines/congestion-simulated.yaml"]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("first alert: 2026-03-"), "{log}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a summary");
    assert_eq!(summary["rows"]["balanced"], true);
    for horizon_s in [900.0, 1800.0] {
        let error = |model: &str, measure: &str| {
            let scores = summary["scores"].as_array().expect("scores");
            let of = |score: &&serde_json::Value| score["model"] == model && score["horizon_s"] == horizon_s;
            scores.iter().find(of).and_then(|score| score[measure].as_f64()).expect("a score")
        };
        for baseline in ["persistence", "profile"] {
            let (own, other) = (error("online_linear", "mae"), error(baseline, "mae"));
            assert!(own < 0.92 * other, "{horizon_s} s: MAE {own} beside {baseline}'s {other}");
            let (own, other) = (error("online_linear", "rmse"), error(baseline, "rmse"));
            assert!(own < other, "{horizon_s} s: RMSE {own} beside {baseline}'s {other}");
        }
    }
}

#[test]
fn the_readmes_pipeline_is_valid() {
    let yaml = blocks(&root().join("README.md"), "yaml");
    assert!(!yaml.is_empty(), "the README shows a pipeline");
    for (index, block) in yaml.iter().enumerate() {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("readme-{index}.yaml"));
        fs::write(&path, block).expect("a file");
        let output = arterial(&["validate", path.to_str().expect("text")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_security_blocks_of_the_documentation_are_valid_in_the_readmes_pipeline() {
    let pipeline = blocks(&root().join("README.md"), "yaml").remove(0);
    let shown = blocks(&root().join("docs/security.md"), "yaml");
    assert_eq!(shown.len(), 2);
    let place = "kafka: { brokers: \"127.0.0.1:9092\", topics: [ring.traffic.observations.v1] }";
    for (index, security) in shown.iter().enumerate() {
        let below: String = security.lines().map(|line| format!("\n      {line}")).collect();
        let kafka = format!("kafka:\n      brokers: broker:9093\n      topics: [ring.traffic.observations.v1]{below}");
        let text = pipeline.replace(place, &kafka);
        assert_ne!(text, pipeline);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("security-{index}.yaml"));
        fs::write(&path, text).expect("a file");
        let output = arterial(&["validate", path.to_str().expect("text")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A pipeline with other alert rules and without tests.
fn with_alerts(pipeline: &str, alerts: &str) -> String {
    let (before, rest) = pipeline.split_once("\nalerts:\n").expect("alerts");
    let after = &rest[rest.find("\nsinks:\n").expect("sinks")..];
    format!("{before}\n{alerts}{}", after.split("\ntests:\n").next().unwrap_or_default())
}

#[test]
fn the_rules_that_the_page_on_alerts_shows_are_valid_in_a_pipeline_that_is_shown() {
    let readme = blocks(&root().join("README.md"), "yaml").remove(0);
    let air = fs::read_to_string(root().join("pipelines/air-quality.yaml")).expect("a pipeline");
    let shown = blocks(&root().join("docs/alerts.md"), "yaml");
    assert!(shown.len() >= 5, "{} blocks", shown.len());
    for (index, alerts) in shown.iter().enumerate() {
        // The README's pipeline is about traffic, the other about air.
        let host = if alerts.contains("speed") { &readme } else { &air };
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("alerts-{index}.yaml"));
        fs::write(&path, with_alerts(host, alerts)).expect("a file");
        let output = arterial(&["validate", path.to_str().expect("text")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn whole_pipelines_that_pages_show_are_valid_and_pass_their_own_tests() {
    let (mut valid, mut tested) = (0, 0);
    for page in documents() {
        let name = page.file_stem().expect("a name").to_string_lossy().into_owned();
        let whole = blocks(&page, "yaml").into_iter().filter(|block| block.contains("\nversion: 1\n"));
        for (index, block) in whole.enumerate() {
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}-{index}.yaml"));
            fs::write(&path, &block).expect("a file");
            let file = path.to_str().expect("text");
            for verb in
                ["validate", "test"].into_iter().filter(|verb| *verb == "validate" || block.contains("\ntests:\n"))
            {
                let output = arterial(&[verb, file]);
                let said = [output.stdout, output.stderr].concat();
                assert!(output.status.success(), "{}: {}", page.display(), String::from_utf8_lossy(&said));
                *if verb == "test" { &mut tested } else { &mut valid } += 1;
            }
        }
    }
    assert!(valid >= 8 && tested >= 1, "{valid} valid, {tested} tested");
}

#[test]
fn every_verb_of_the_readme_exists() {
    let help = String::from_utf8_lossy(&arterial(&["--help"]).stdout).into_owned();
    let shell = shell_commands(&[root().join("README.md")]);
    let verbs: Vec<&String> = shell
        .iter()
        .filter(|(_, words)| words.first().is_some_and(|word| word == "arterial"))
        .filter_map(|(_, words)| words.get(1))
        .collect();
    assert!(verbs.len() >= 5, "the README shows the verbs: {verbs:?}");
    for verb in verbs {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(verb.as_str())),
            "`{verb}` is not in --help:\n{help}"
        );
    }
}

#[test]
fn the_published_schema_is_current() {
    let path = root().join(arterial::spec::json_schema::SCHEMA_PATH);
    let current = arterial::spec::json_schema::pipeline_schema_text();
    if std::env::var_os("ARTERIAL_BLESS").is_some() {
        fs::write(&path, &current).expect("written");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == current,
        "{} is not current: run ARTERIAL_BLESS=1 cargo test --test it the_published_schema_is_current",
        path.display()
    );
}

#[test]
fn rust_of_the_guides_is_that_of_the_examples() {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let examples: Vec<String> = fs::read_dir(root().join("docs/examples"))
        .expect("examples")
        .map(|entry| flat(&fs::read_to_string(entry.expect("an entry").path()).expect("text")))
        .collect();
    let guides = documents()
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("adding-a")));
    let mut compared = 0;
    for guide in guides {
        for language in ["rust", "yaml-part"] {
            for snippet in blocks(&guide, language).iter().filter(|text| !text.contains("name: shelf")) {
                let wanted = flat(snippet);
                assert!(
                    examples.iter().any(|text| text.contains(&wanted)),
                    "{}: no example has\n{snippet}",
                    guide.display()
                );
                compared += 1;
            }
        }
    }
    assert!(compared >= 10, "{compared} snippets");
}

/// Targets of the links of a Markdown text, those in code left out.
fn links(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<String>();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The names under which the headings of a page are reached: lower case, words joined by hyphens, the rest left out.
fn anchors(text: &str) -> Vec<String> {
    let name = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(name).collect()
}

/// Pages of `docs/` link to one another only: a site has no more than them.
#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let mut seen = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = document.parent().expect("a folder");
            let page = if path.is_empty() { document.clone() } else { folder.join(path) };
            let found = page.canonicalize().unwrap_or_else(|_| panic!("{}: {link} leads nowhere", document.display()));
            assert!(
                document == root().join("README.md") || found.starts_with(root().join("docs")),
                "{}: {link} leads out of the book",
                document.display()
            );
            let known = anchors(&fs::read_to_string(found).expect("a page"));
            assert!(
                anchor.is_empty() || known.iter().any(|name| name == anchor),
                "{}: {link} names no heading of {known:?}",
                document.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} links");
}

#[test]
fn every_page_stands_once_in_the_summary() {
    let docs = root().join("docs");
    let summary = links(&fs::read_to_string(docs.join("SUMMARY.md")).expect("a summary"));
    for page in documents().iter().filter_map(|page| page.strip_prefix(&docs).ok()) {
        let times = summary.iter().filter(|link| Path::new(link) == page).count();
        let expected = usize::from(page != Path::new("SUMMARY.md"));
        assert_eq!(times, expected, "{} stands {times} times in docs/SUMMARY.md", page.display());
    }
}
