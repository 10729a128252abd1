//! The one integration-test binary: a module per area, tests are sentences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]
#![allow(clippy::duplicate_mod, reason = "every example brings its readings along")]

mod alert;
mod alert_life;
mod alert_measures;
#[cfg(feature = "kafka")]
mod broker;
mod city;
mod city_alerts;
mod class_sums;
mod classification;
mod clean;
mod clean_columns;
mod clean_impute;
mod clean_normalise;
mod clean_properties;
mod clean_sql;
mod clean_support;
mod cli;
mod commit_protocol;
mod conformance;
mod conformance_flaws;
mod container;
mod contest;
mod contest_spoofed;
mod decode;
mod decode_csv;
mod decode_properties;
mod decode_shapes;
mod decode_support;
mod decode_times;
mod decode_typed;
mod dedupe_bound;
mod docs;
mod drift;
mod drift_stage;
mod embed;
mod embed_parts;
mod embed_rules;
#[cfg(feature = "kafka")]
mod embedded_run;
mod encode;
mod encode_rows;
mod encode_support;
mod explain;
mod explained_forecasts;
mod features;
mod features_properties;
mod features_tables;
mod file_csv;
mod file_encoding;
mod file_json;
mod file_source;
mod file_support;
mod folder_files;
mod folder_ledger;
#[cfg(feature = "kafka")]
mod folder_parquet;
mod folder_run;
mod folder_support;
mod graph;
#[cfg(feature = "kafka")]
mod health;
mod init;
mod init_written;
mod intervals;
mod kafka_backfill;
#[cfg(feature = "kafka")]
mod kafka_bad_days;
#[cfg(feature = "kafka")]
mod kafka_conformance;
#[cfg(feature = "kafka")]
mod kafka_dlq;
mod kafka_doctor;
#[cfg(feature = "kafka")]
mod kafka_embedded;
#[cfg(feature = "kafka")]
mod kafka_eval;
#[cfg(feature = "kafka")]
mod kafka_handover;
mod kafka_init;
#[cfg(feature = "kafka")]
mod kafka_ledger;
#[cfg(feature = "kafka")]
mod kafka_neighbours;
#[cfg(feature = "kafka")]
mod kafka_permissions;
#[cfg(feature = "kafka")]
mod kafka_pipeline;
#[cfg(feature = "kafka")]
mod kafka_rebalance;
#[cfg(feature = "kafka")]
mod kafka_run_support;
#[cfg(feature = "kafka")]
mod kafka_security;
#[cfg(feature = "kafka")]
mod kafka_settings;
#[cfg(feature = "kafka")]
mod kafka_source;
#[cfg(feature = "kafka")]
mod kafka_takeover;
mod memory;
mod mix;
mod mlp;
mod moments;
mod neighbours;
mod online_linear;
mod pipeline_properties;
mod plan_version;
mod predict;
mod predict_plan;
mod predict_state;
mod predict_support;
mod predictor_checks;
mod predictor_choices;
mod run_alerts;
mod run_changes;
mod run_control;
mod run_drift;
mod run_events;
mod run_gap;
mod run_idle;
mod run_prepare;
mod run_progress;
mod run_reach;
mod run_restarts;
mod run_scores;
mod run_stops;
mod run_support;
mod score_metrics;
#[cfg(feature = "kafka")]
mod secured;
mod shap_golden;
mod shipped_alerts;
mod simulate;
mod source_support;
mod spec_reports;
mod spec_rules;
mod spec_rules_outputs;
mod spec_security;
mod spec_shape;
mod spec_substitute;
mod spec_support;
mod spec_tree;
mod spec_written;
mod spoofed;
mod tidy;
mod trained_forecasts;
mod trained_guards;
mod trained_models;
mod trained_pipelines;
mod unusable;
mod validate;
mod window;
mod window_labels;
mod window_plan;
mod window_properties;
mod window_support;
