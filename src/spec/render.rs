//! A problem and the text it is about -> lines for people: place and sentence, the source line with carets, the hint.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::lines::Lines;
use super::problem::{Place, Problem};
use super::shape::SECRETIVE;

/// `file:line:column: message`, the snippet, `help: hint`; no line break at the end.
pub(super) fn problem_text(file: &str, text: &str, problem: &Problem) -> String {
    let Place { line, column, .. } = problem.at;
    let mut rendered = format!("{file}:{line}:{column}: {}", problem.message);
    if let Some(snippet) = snippet(text, problem.at) {
        rendered.push('\n');
        rendered.push_str(&snippet);
    }
    if let Some(hint) = &problem.hint {
        rendered.push_str("\nhelp: ");
        rendered.push_str(hint);
    }
    rendered
}

/// The line of a place with carets below its part of it. `None` where there is no text to show, or none that may be.
fn snippet(text: &str, at: Place) -> Option<String> {
    let lines = Lines::of(text);
    let (line_start, line) = lines.line(at.line);
    if line.trim().is_empty() || may_hold_secrets(&lines, at.line) {
        return None;
    }
    let marked = text.get(at.start..at.end.min(line_start + line.len())).unwrap_or_default().trim_end();
    let start = at.start - line_start;
    // An empty stretch still gets one caret, at its first character.
    let end = start + marked.len();
    let source = Snippet::source(line).line_start(at.line).fold(false);
    let annotated = source.annotation(AnnotationKind::Primary.span(start..end));
    let report = [Group::with_level(Level::ERROR).element(annotated)];
    Some(Renderer::plain().render(&report))
}

/// Whether a line is one of client properties or of `security`, among which passwords stand, perhaps under a misspelt name. Told from the
/// text alone: there may be no tree.
fn may_hold_secrets(lines: &Lines<'_>, number: usize) -> bool {
    let words = ["password", "secret"].into_iter().chain(SECRETIVE);
    let names_it = |line: &str| words.clone().any(|word| line.contains(word));
    let (_, own) = lines.line(number);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut depth = indent(own);
    let parents = (1..number).rev().map(|above| lines.line(above).1).filter(|line| {
        let encloses = !line.trim().is_empty() && indent(line) < depth;
        if encloses {
            depth = indent(line);
        }
        encloses
    });
    names_it(own) || { parents }.any(names_it)
}
