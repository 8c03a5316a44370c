//! The settings that every process of an installation must have alike: the database has them once, and a process may be
//! given them besides, where it then has to be given the same.

mod description;
mod given;
mod ingest;
mod setting;

pub use self::{
    description::description,
    given::{GivenSettings, SettingsError, from_database},
    ingest::{IngestConfig, RunningSettings},
    setting::{Assignment, InvalidValue, Setting, StoredValue},
};
