//! A text with `${...}` in it -> the text with each reference replaced by what a function says. `$$` is one dollar sign;
//! a dollar sign before anything else than `{` or `$` is itself (`'^a$'` in a regular expression).

/// One `${...}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    /// The name.
    pub name: &'a str,
    /// What follows `:-`.
    pub fallback: Option<&'a str>,
    /// What follows `:?`.
    pub message: Option<&'a str>,
}

/// Why a reference cannot be replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${` without `}`.
    #[error("`${{` is never closed")]
    Unclosed,
    /// Something else than a name stands in it.
    #[error("`${{{inner}}}` is not a variable reference")]
    NotAReference {
        /// What stands between the braces.
        inner: String,
    },
    /// No such entry in `vars:`.
    #[error("variable `{name}` is not declared under `vars:`")]
    UnknownVariable {
        /// The name.
        name: String,
    },
    /// A default or message outside `vars:`.
    #[error("`{name}` is read from the environment here; that is possible only under `vars:`")]
    EnvironmentOutsideVars {
        /// The name.
        name: String,
    },
    /// `${NAME}` under `vars:`, and the environment has no such variable.
    #[error("environment variable `{name}` is not set")]
    UnsetEnvironment {
        /// The name.
        name: String,
    },
    /// `${NAME:?message}`, and the variable is unset or empty.
    #[error("environment variable `{name}` is not set: {message}")]
    Required {
        /// The name.
        name: String,
        /// What the author of the file says about it.
        message: String,
    },
    /// The variable has a problem of its own, reported there.
    #[error("the variable has no value")]
    Unresolved,
}

impl TemplateError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unclosed => "close it with `}`, or write `$${` for the characters themselves".to_owned(),
            Self::NotAReference { .. } => {
                "write `${name}` with letters, digits and underscores, or `$${` for the characters themselves"
                    .to_owned()
            }
            Self::UnknownVariable { name } | Self::EnvironmentOutsideVars { name } => {
                format!("declare it under `vars:` with `${{{name}:-default}}`, and use `${{name}}` here")
            }
            Self::UnsetEnvironment { name } => format!("set it, or give a default: `${{{name}:-default}}`"),
            Self::Required { name, .. } => format!("set `{name}` in the environment"),
            Self::Unresolved => "correct the variable under `vars:`".to_owned(),
        }
    }
}

/// Replaces every reference; also says how many there were.
///
/// # Errors
/// The first [`TemplateError`], of the text itself or of `resolve`.
pub fn replace(
    text: &str,
    mut resolve: impl FnMut(&Reference<'_>) -> Result<String, TemplateError>,
) -> Result<(String, usize), TemplateError> {
    let mut replaced = String::with_capacity(text.len());
    let mut references = 0;
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        replaced.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(behind) = after.strip_prefix('$') {
            replaced.push('$');
            rest = behind;
        } else if let Some(inside) = after.strip_prefix('{') {
            let (inner, behind) = inside.split_once('}').ok_or(TemplateError::Unclosed)?;
            replaced.push_str(&resolve(&parse(inner)?)?);
            references += 1;
            rest = behind;
        } else {
            replaced.push('$');
            rest = after;
        }
    }
    replaced.push_str(rest);
    Ok((replaced, references))
}

/// Whether a text can stand in `${...}`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn parse(inner: &str) -> Result<Reference<'_>, TemplateError> {
    let (name, fallback, message) = match (inner.split_once(":-"), inner.split_once(":?")) {
        (Some((name, fallback)), _) if is_name(name) => (name, Some(fallback), None),
        (_, Some((name, message))) if is_name(name) => (name, None, Some(message)),
        _ => (inner, None, None),
    };
    let nested = fallback.or(message).is_some_and(|text| text.contains("${"));
    if nested || !is_name(name) {
        return Err(TemplateError::NotAReference { inner: inner.to_owned() });
    }
    Ok(Reference { name, fallback, message })
}
