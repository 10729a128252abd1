//! YAML before it means anything: places, YAML 1.2 scalars, and every text that is refused.

use std::fmt::Write as _;

use arterial::spec::tree::{self, Node, TreeError, Value};
use serde_json::json;

use super::spec_support::{GOOD, only_problem, problems, spoilt};

fn root(text: &str) -> Node {
    let parsed = tree::parse(text);
    assert_eq!(parsed.problems, [], "{text}");
    parsed.root.expect("a document")
}

fn value(scalar: &str) -> serde_json::Value {
    root(&format!("key: {scalar}\n")).to_json()["key"].clone()
}

#[test]
fn words_of_yaml_1_1_are_text() {
    for word in ["no", "yes", "on", "off", "NO", "y", "12:30:00", "1_000", "0b1", "2026-11-23", "=", "<<"] {
        assert_eq!(value(word), json!(word));
    }
}

#[test]
fn scalars_of_the_core_schema_are_what_they_say() {
    let scalars = [
        ("null", json!(null)),
        ("~", json!(null)),
        ("", json!(null)),
        ("True", json!(true)),
        ("false", json!(false)),
        ("0o17", json!(15)),
        ("0xFF", json!(255)),
        ("+7", json!(7)),
        ("007", json!(7)),
        ("-3", json!(-3)),
        ("18446744073709551615", json!(u64::MAX)),
        ("0.5", json!(0.5)),
        (".5", json!(0.5)),
        ("5.", json!(5)),
        ("1e3", json!(1000)),
        ("1.0", json!(1)),
        ("-0.0", json!(-0.0)),
        ("1e300", json!(1e300)),
    ];
    for (text, expected) in scalars {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn what_json_has_no_number_for_is_text() {
    for word in [".inf", "-.INF", ".nan", "inf", "NaN", "1e999", "0o8", "0x", "e5", ".", "+", "1e", "--1"] {
        assert_eq!(value(word), json!(word));
    }
}

#[test]
fn quotes_make_text_of_anything() {
    for (written, expected) in [("'1'", "1"), ("\"true\"", "true"), ("\"null\"", "null"), ("''", "")] {
        assert_eq!(value(written), json!(expected));
    }
}

#[test]
fn every_key_and_value_knows_its_place() {
    let text = "é: 1 # note\nlist:\n  - {a: 'x y', b: }\ntext: |\n  SELECT\n  2\n";
    let root = root(text);
    let slice = |node: &Node| text[node.at.start..node.at.end].to_owned();
    let item = &root.entry("list").expect("list").value.items()[0];
    let a = item.entry("a").expect("a");
    assert_eq!((a.key_at.line, a.key_at.column), (3, 6));
    assert_eq!((a.value.at.line, a.value.at.column, slice(&a.value).as_str()), (3, 9, "'x y'"));
    let first = root.entry("é").expect("é");
    assert_eq!((first.value.at.line, first.value.at.column, slice(&first.value).as_str()), (1, 4, "1"));
    let block = root.entry("text").expect("text");
    assert_eq!(block.value.value, Value::Text("SELECT\n2\n".to_owned()));
    assert_eq!((block.value.at.line, block.value.at.column), (5, 3));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let text = spoilt(&[("size: 5m", "size: 5x")]);
    let (unix, windows) = (problems(&text), problems(&format!("\u{feff}{}", text.replace('\n', "\r\n"))));
    assert_eq!(unix.len(), 1);
    let place = |found: &[arterial::spec::Problem]| (found[0].at.line, found[0].at.column, found[0].message.clone());
    assert_eq!(place(&unix), place(&windows));
}

#[test]
fn duplicate_key_names_both_places() {
    only_problem(
        &spoilt(&[("  size: 5m\n", "  size: 5m\n  «size: 6m\n")]),
        "key `size` stands twice in this mapping: first in line 17, column 3",
        "remove one",
    );
}

#[test]
fn duplicate_keys_are_found_through_different_spellings() {
    let text = spoilt(&[("pipeline: ring-road\n", "pipeline: ring-road\n«\"pipeline\": other\n")]);
    only_problem(&text, "key `pipeline` stands twice in this mapping: first in line 2, column 1", "remove");
}

#[test]
fn tab_in_the_indentation_is_refused_with_the_reason() {
    let found = problems("version: 1\nwindow:\n\tsize: 5m\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].at.line, 3);
    assert!(found[0].message.starts_with("not valid YAML: tabs disallowed"), "{}", found[0].message);
    assert_eq!(found[0].hint.as_deref(), Some("YAML indents with spaces: replace the tabs"));
}

#[test]
fn colon_inside_a_plain_value_is_refused_with_the_remedy() {
    only_problem("a: b«: c\n", "not valid YAML: mapping values are not allowed in this context", "quotes");
}

#[test]
fn unclosed_quotes_are_refused_where_they_open() {
    let message = "not valid YAML: while scanning a quoted scalar, found unexpected end of stream";
    only_problem("a: 1\nkey: «'open\n", message, "close the quotes");
}

#[test]
fn unknown_alias_is_refused() {
    only_problem("a: «*nowhere\n", "not valid YAML: while parsing node, found unknown anchor", "starts with `*`");
}

#[test]
fn second_document_is_refused() {
    let message = "a second YAML document starts here; a pipeline file holds one";
    only_problem("a: 1\n«---\nb: 2\n", message, "`---`");
}

#[test]
fn empty_file_and_a_file_that_is_no_mapping_are_refused() {
    let texts = [("«", "nothing"), ("«# only a note\n", "nothing"), ("«- a\n", "a list"), ("«hello\n", "text `hello`")];
    for (text, found) in texts {
        let message = format!("a pipeline file is a mapping of keys to values, found {found}");
        only_problem(text, &message, "version: 1");
    }
}

#[test]
fn mapping_as_a_key_is_refused_as_in_double_braces() {
    only_problem("topic: {«{ city }: 1}\n", "a key must be plain text, found a mapping", "quotes");
}

#[test]
fn tags_are_refused() {
    let message = "tag `!!str` is not used in a pipeline file";
    let found = problems("version: !!str 1\n");
    assert!(found.iter().any(|problem| problem.message == message && problem.at.column == 10), "{found:?}");
    assert!(problems("a: !secret x\n").iter().any(|problem| problem.message.starts_with("tag `!secret`")));
}

#[test]
fn control_characters_are_refused_not_taken_for_the_end() {
    only_problem("a: 1\nb: x«\0y\nc: 1\n", "character U+0000 is not allowed in YAML", "escape");
    only_problem("a: «\u{7}\n", "character U+0007 is not allowed in YAML", "escape");
}

#[test]
fn alias_bomb_is_refused_at_the_alias_that_goes_too_far() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let _ = writeln!(text, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    let found = problems(&text);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, TreeError::AliasBomb.to_string());
    // The third level stands for 110 + 1,110 values; the fourth would go beyond 2,000.
    assert_eq!(found[0].at.line, 4);
}

#[test]
fn alias_inside_its_own_anchor_is_refused() {
    only_problem("a: &a [1, «*a]\n", "the alias stands inside its own anchor", "write the values out");
}

#[test]
fn few_aliases_are_fine_and_stand_for_their_values() {
    let text = GOOD
        .replace("key: [sensor_id]\n  carry", "key: &key [sensor_id]\n  carry")
        .replace("    key: [sensor_id]\n", "    key: *key\n");
    assert_ne!(text, GOOD);
    assert_eq!(problems(&text), []);
}

#[test]
fn merge_keys_are_refused_with_the_reason() {
    let text = spoilt(&[("  size: 5m\n", "  size: 5m\n  «<<: { min_count: 2 }\n")]);
    only_problem(&text, "unknown key `<<`", "not part of YAML 1.2");
}

#[test]
fn too_deep_and_too_much_are_refused_without_reading_on() {
    let deep = problems(&format!("a: {}", "[".repeat(100_000)));
    assert_eq!(deep.len(), 1);
    assert_eq!(deep[0].message, TreeError::TooDeep.to_string());
    assert_eq!(deep[0].at.line, 1);
    let many = problems(&format!("a: [{}]", "1,".repeat(300_000)));
    assert_eq!((many.len(), many[0].message.as_str()), (1, TreeError::TooMany.to_string().as_str()));
    let long = problems(&format!("a: \"{}\"", "x".repeat(1_048_576)));
    assert_eq!((long.len(), long[0].at.line), (1, 1));
    assert_eq!(long[0].message, "the file has 1048581 bytes, more than the 1048576 a pipeline file may have");
}
