//! `env:NAME` and `file:PATH`: where a secret stands -> the secret. It never stands in a pipeline file itself, and no
//! message here repeats one.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was written where a secret's place belongs. `Debug` does not show it: it may be the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In this environment variable.
    Env(String),
    /// In this file; a relative path starts at the pipeline file.
    File(PathBuf),
}

/// Why there is no secret. Never holds one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text names no place: it may be the secret itself, so it is not repeated.
    #[error("a secret must not stand in a pipeline file")]
    Literal,
    /// The environment variable is not set, or empty.
    #[error("environment variable `{name}` is not set")]
    Unset {
        /// The variable.
        name: String,
    },
    /// The file cannot be read, or is empty.
    #[error("file `{}`: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl SecretError {
    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Literal => "write where it stands: `env:NAME` or `file:PATH`",
            Self::Unset { .. } => "set it for this process, or name another with `env:NAME`",
            Self::File { .. } => "make it readable for this process; a relative path starts at the pipeline file",
        }
    }
}

impl SecretText {
    /// The place that is named.
    ///
    /// # Errors
    /// [`SecretError::Literal`] where none is.
    pub fn place(&self) -> Result<SecretPlace, SecretError> {
        let legal = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match self.0.split_once(':') {
            Some(("env", name)) if !name.is_empty() && legal(name) => Ok(SecretPlace::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(SecretPlace::File(PathBuf::from(path))),
            _ => Err(SecretError::Literal),
        }
    }

    /// The secret, without a line break at its end. `folder`: where relative paths start.
    ///
    /// # Errors
    /// The operator sets the variable or mends the file.
    pub fn read(&self, folder: &Path) -> Result<String, SecretError> {
        match self.place()? {
            SecretPlace::Env(name) => {
                std::env::var(&name).ok().filter(|text| !text.is_empty()).ok_or(SecretError::Unset { name })
            }
            SecretPlace::File(path) => {
                let path = folder.join(path);
                let failed = |reason: String| SecretError::File { path: path.clone(), reason };
                let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
                let text = text.trim_end_matches(['\r', '\n']);
                if text.is_empty() { Err(failed("is empty".to_owned())) } else { Ok(text.to_owned()) }
            }
        }
    }
}
