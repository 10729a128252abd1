//! What a program registers by name and a pipeline file uses: settings, refusals, fresh parts, and panics that say whose
//! they are. Parts are asked once per batch or closed window, never per row.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// `settings:` of a custom part, as the file has them.
#[derive(Debug, Clone, Copy)]
pub struct CustomSettings<'a>(pub &'a Map<String, Value>);

impl CustomSettings<'_> {
    /// The settings as a type of the part's own: give it `deny_unknown_fields`, and misspelt keys are refused.
    ///
    /// # Errors
    /// [`Refusal`] with what does not fit; the file's author corrects it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_value(Value::Object(self.0.clone())).map_err(|error| Refusal::new(None, error.to_string()))
    }
}

/// Why a part cannot be made from its settings: becomes a problem of the file, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The key under `settings:` at fault; the settings as a whole where `None`.
    pub key: Option<String>,
    /// Why, with the offending value.
    pub reason: String,
    /// What to do instead.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    #[must_use]
    pub fn new(key: Option<&str>, reason: impl Into<String>) -> Self {
        Self { key: key.map(str::to_owned), reason: reason.into(), hint: None }
    }
}

/// Makes the part of one partition, without state, from checked settings. The text is the name of its step: state blocks
/// are written under it, or under it and a further `.part`.
pub struct Fresh<T: ?Sized>(Arc<Make<T>>);

type Make<T> = dyn Fn(&str) -> Box<T> + Send + Sync;

impl<T: ?Sized> Fresh<T> {
    /// From what makes one.
    pub fn new(make: impl Fn(&str) -> Box<T> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn make(&self, step: &str) -> Box<T> {
        (self.0)(step)
    }
}

impl<T: ?Sized> Clone for Fresh<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> fmt::Debug for Fresh<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fresh").finish_non_exhaustive()
    }
}

/// Lets a part work; a panic goes on with the part's name before its message.
pub(crate) fn guarded<R>(part: impl FnOnce() -> String, work: impl FnOnce() -> R) -> R {
    // What the part was doing is thrown away with the worker, so nobody sees it half done.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = format!("{}: {}", part(), panic_text(panic.as_ref()));
        resume_unwind(Box::new(message))
    })
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "no message".to_owned(),
    }
}
