//! A pipeline file from its text to a specification, keeping what is needed to say where a problem is. The steps in
//! order: tree, substitution, shape, rules; then the stages' own checks add theirs with [`PipelineFile::report`].

use std::error::Error;
use std::path::Path;

use super::check::check;
use super::lines::Lines;
use super::model::PipelineSpec;
use super::parts::Parts;
use super::problem::{Place, Problem, SpecErrors};
use super::registry::Registry;
use super::substitute::{Environment, substitute};
use super::tree::{self, Node, TreeError};
use crate::vocab::{At, YamlPath};

/// A pipeline file that was read, with all its problems so far.
#[derive(Debug)]
pub struct PipelineFile {
    name: String,
    text: String,
    root: Option<Node>,
    spec: Option<PipelineSpec>,
    problems: Vec<Problem>,
    parts: Parts,
}

impl PipelineFile {
    /// Reads a file from disk, with the variables of this process. Never fails: what is wrong is among the problems.
    #[must_use]
    pub fn load(path: &Path, registry: &Registry) -> Self {
        let name = path.display().to_string();
        match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => Self::parse(&name, &text, &|variable| std::env::var(variable).ok(), registry),
            Ok(Err(error)) => Self::not_utf8(name, &error),
            Err(error) => {
                let error = TreeError::Unreadable { reason: error.to_string() };
                Self::unparsed(name, String::new(), &error, Place::START)
            }
        }
    }

    /// Reads a text; `name` is what problems call it. Never fails: what is wrong is among the problems.
    #[must_use]
    pub fn parse(name: &str, text: &str, environment: Environment<'_>, registry: &Registry) -> Self {
        // A byte order mark carries no meaning in UTF-8, and would shift the first line's columns.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut parsed = tree::parse(text);
        let mut spec = None;
        if let Some(root) = &mut parsed.root {
            let unreplaced = substitute(root, environment);
            let (checked, mut problems) = check(root, registry);
            // A text that waits for a variable stands for any value: what is said about its letters means nothing.
            problems.retain(|problem| !unreplaced.paths.contains(&problem.path));
            parsed.problems.extend(unreplaced.problems);
            parsed.problems.extend(problems);
            spec = checked;
        }
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            root: parsed.root,
            spec,
            problems: parsed.problems,
            parts: registry.parts.clone(),
        }
    }

    fn not_utf8(name: String, error: &std::string::FromUtf8Error) -> Self {
        let valid = error.utf8_error().valid_up_to();
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let at = Lines::of(&text).place(valid, valid);
        Self::unparsed(name, text, &TreeError::NotUtf8 { byte }, at)
    }

    fn unparsed(name: String, text: String, error: &TreeError, at: Place) -> Self {
        let hint = error.hint().map(str::to_owned);
        let problem = Problem { path: YamlPath::default(), at, message: error.to_string(), hint };
        Self { name, text, root: None, spec: None, problems: vec![problem], parts: Parts::default() }
    }

    /// The file, as it was named by the caller.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The specification, as soon as the file's shape is right; rules may still be broken.
    #[must_use]
    pub fn spec(&self) -> Option<&PipelineSpec> {
        self.spec.as_ref()
    }

    /// The parts that the file may name.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What is wrong so far, unsorted.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Adds what a stage's plan found. Where the same place, or what encloses it, has a problem already, that one says it.
    pub fn report<E: Error>(&mut self, found: &At<E>) {
        let at = self.root.as_ref().map_or(Place::START, |root| root.place(&found.path));
        if self.problems.iter().any(|known| found.path.0.starts_with(&known.path.0)) {
            return;
        }
        let (message, hint) = (found.error.to_string(), found.hint.clone());
        self.problems.push(Problem { path: found.path.clone(), at, message, hint });
    }

    /// Everything that is wrong.
    #[must_use]
    pub fn into_errors(self) -> SpecErrors {
        SpecErrors::new(&self.name, &self.text, self.problems)
    }

    /// The specification, where nothing is wrong.
    ///
    /// # Errors
    /// All problems; the operator corrects the file.
    pub fn finish(self) -> Result<PipelineSpec, SpecErrors> {
        match &self.spec {
            Some(spec) if self.problems.is_empty() => Ok(spec.clone()),
            _ => Err(self.into_errors()),
        }
    }
}
