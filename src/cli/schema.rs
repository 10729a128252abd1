//! `arterial schema`: the catalogue of topic schemas, and the schema of pipeline files.

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::report::{Format, print_rows};
use super::usage::UsageError;
use crate::schema::{self, TopicSchema, type_name};
use crate::spec::json_schema::pipeline_schema_text;
use crate::spec::suggest;

/// List schemas of topics, show one, or print the JSON Schema of pipeline files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial schema ls\n  \
    arterial schema show traffic-observation.v1\n  \
    arterial schema show --format json schemas/loop-speed.v1.avsc\n  \
    arterial schema pipeline > pipeline.schema.json")]
pub struct SchemaArgs {
    #[command(subcommand)]
    verb: SchemaVerb,
}

#[derive(Debug, Subcommand)]
enum SchemaVerb {
    /// List the schemas that come with the engine.
    Ls {
        /// How they are printed.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show a schema's columns: types, units, physical limits.
    Show {
        /// A name that `ls` gives, or the path of an `.avsc` file.
        name: String,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print the JSON Schema of pipeline files, for editors.
    Pipeline,
}

/// Runs the verb.
///
/// # Errors
/// [`schema::SchemaError`]: no such schema, or no readable one.
pub fn schema(args: &SchemaArgs) -> Result<()> {
    match &args.verb {
        SchemaVerb::Ls { format } => ls(*format),
        SchemaVerb::Show { name, format } => show(&load(name)?, *format),
        SchemaVerb::Pipeline => {
            // It ends with a line break of its own.
            say!("{}", pipeline_schema_text().trim_end());
            Ok(())
        }
    }
}

/// A schema that the user named; the nearest name where there is none.
fn load(name: &str) -> Result<TopicSchema> {
    schema::load(name, Path::new("")).map_err(|error| match error {
        schema::SchemaError::Unknown { name } => {
            let hint = suggest::hint(&name, schema::shipped_names(), "schemas").unwrap_or_default();
            UsageError::UnknownSchema { name, hint }.into()
        }
        error => anyhow::Error::from(error),
    })
}

fn ls(format: Format) -> Result<()> {
    let all = schema::shipped_names().map(|name| schema::load(name, Path::new("")));
    let all = all.collect::<Result<Vec<TopicSchema>, _>>()?;
    match format {
        Format::Json => {
            let entry = |one: &TopicSchema| json!({ "name": one.name, "doc": one.doc, "columns": one.columns.len() });
            say!("{}", serde_json::to_string_pretty(&all.iter().map(entry).collect::<Vec<_>>())?);
        }
        Format::Text => print_rows(
            "",
            &["schema", "columns", "what"],
            all.iter().map(|one| vec![one.name.clone(), one.columns.len().to_string(), one.doc.clone()]),
        ),
    }
    Ok(())
}

fn show(schema: &TopicSchema, format: Format) -> Result<()> {
    let columns = columns(schema);
    match format {
        Format::Json => {
            let whole = json!({ "name": schema.name, "doc": schema.doc, "columns": columns });
            say!("{}", serde_json::to_string_pretty(&whole)?);
        }
        Format::Text => {
            say!("{}\n{}\n", schema.name, schema.doc);
            let head = ["column", "type", "null", "unit", "minimum", "maximum", "what"];
            let cell = |value: &Value| match value {
                Value::Null => String::new(),
                Value::Bool(allowed) => if *allowed { "allowed" } else { "" }.to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let keys = ["name", "type", "nullable", "unit", "minimum", "maximum", "doc"];
            print_rows("", &head, columns.iter().map(|column| keys.iter().map(|key| cell(&column[*key])).collect()));
        }
    }
    Ok(())
}

/// What is known of each column. What the engine writes may be nested; rows that it reads are flat.
fn columns(schema: &TopicSchema) -> Vec<Value> {
    let written = schema::output(&schema.name);
    let of = |(index, column): (usize, &schema::ColumnSchema)| {
        let flat = schema.arrow.field(index);
        let kind = written.field_with_name(&column.name).unwrap_or(flat).data_type();
        json!({
            "name": column.name, "type": type_name(kind), "nullable": flat.is_nullable(), "unit": column.unit,
            "minimum": column.minimum, "maximum": column.maximum, "doc": column.doc,
        })
    };
    schema.columns.iter().enumerate().map(of).collect()
}
